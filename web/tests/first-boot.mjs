// A person's first hour with Farrier, in a real browser: set it up by the printed link, log in,
// let unassigned machines wait, see one appear by itself, assign its OS, watch it boot.
//
// The lab starts this (`lab test browser`) beside a QEMU machine and reads the lines it prints;
// what it waits for happens on the network, so time-outs are generous.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const base = need('FARRIER_URL');
const setupPath = need('FARRIER_SETUP');
const mac = need('MACHINE_MAC');
const profile = need('MACHINE_PROFILE');
const state = need('BROWSER_STATE');
const waits = need('MACHINE_WAITS'); // a file that the lab makes when the machine's screen says so
const shots = new URL('./artifacts/', import.meta.url).pathname;
const user = 'ada';
const password = 'a horse, a nail and a shoe';

rmSync(shots, { recursive: true, force: true });
mkdirSync(shots, { recursive: true });

// Chromium's own talk with its maker is switched off: a lab has no way out.
const flags = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const context = await chromium.launchPersistentContext(state, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: flags,
  headless: true,
  viewport: { width: 1280, height: 860 },
  colorScheme: 'light',
  baseURL: base,
});
context.setDefaultTimeout(30_000);
const page = context.pages()[0] ?? await context.newPage();

// No page may need the internet, and no page may have errors.
const strangers = [];
const faults = [];
page.on('request', (request) => {
  const url = request.url();
  if (!url.startsWith(base) && !url.startsWith('data:')) strangers.push(url);
});
page.on('pageerror', (error) => faults.push(`${page.url()}: ${error.message}`));
page.on('console', (message) => {
  if (message.type() === 'error') faults.push(`${page.url()}: ${message.text()}`);
});

try {
  await setUp();
  await logOutAndIn();
  await letMachinesWait();
  const link = await machineAppears();
  await assign();
  await watchItBoot(link);
  await changeManyAtOnce();
  await lookAtEveryPage(link);
  assert.deepEqual(strangers, [], 'pages asked other hosts');
  assert.deepEqual(faults, [], 'pages had errors');
  say('done');
} catch (error) {
  await page.screenshot({ path: `${shots}failed.png`, fullPage: true }).catch(() => {});
  console.error(error);
  console.error(`at ${page.url()}; ${await page.locator('body').innerText().catch(() => '')}`);
  process.exitCode = 1;
} finally {
  await context.close();
}

async function setUp() {
  await page.goto('/machines');
  assert.ok(!page.url().endsWith('/machines'), 'pages are closed before the set-up');
  await page.goto(setupPath);
  await shot('setup');
  await page.getByTestId('username').fill(user);
  await page.getByTestId('password').fill(password);
  await page.getByTestId('password-again').fill(password);
  await page.getByTestId('setup').click();
  await page.getByRole('heading', { name: 'Machines', level: 1 }).waitFor();
  await page.goto(setupPath);
  assert.equal(await page.getByTestId('setup').count(), 0, 'the set-up link works once');
  say('set up by the one-time link');
}

async function logOutAndIn() {
  await page.goto('/machines');
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByTestId('login').waitFor();
  await shot('login');
  await page.getByTestId('username').fill(user);
  await page.getByTestId('password').fill('not the password');
  await page.getByTestId('login').click();
  await page.getByRole('alert').waitFor();
  faults.length = 0; // A refused login answers 4xx, which Chromium counts as an error.
  await page.getByTestId('username').fill(user);
  await page.getByTestId('password').fill(password);
  await page.getByTestId('login').click();
  await page.getByRole('heading', { name: 'Machines', level: 1 }).waitFor();
  say('logged in');
}

async function letMachinesWait() {
  await page.getByTestId('empty').waitFor();
  await shot('machines-empty');
  await page.getByTestId('default-wait').click();
  await page.waitForFunction(() => document.querySelector('[data-testid="default-wait"]')?.disabled);
  say('site default is wait');
}

async function machineAppears() {
  // A mark on the page that a reload would wipe out.
  await page.evaluate(() => { window.notReloaded = true; });
  const row = page.locator(`[data-testid="machine-row"][data-mac="${mac}"]`);
  await row.waitFor({ timeout: 300_000 });
  assert.equal(await page.evaluate(() => window.notReloaded), true, 'the page was reloaded');
  assert.match(await row.innerText(), /new/i);
  say('machine appeared without reload');
  await shot('machines-discovered');
  return row.getByRole('link').first().getAttribute('href');
}

async function assign() {
  while (!existsSync(waits)) await pause(200);
  const row = page.locator(`[data-testid="machine-row"][data-mac="${mac}"]`);
  await row.getByTestId('assign-select').selectOption(profile);
  await row.getByTestId('assign-button').click();
  await page.waitForFunction(
    ([mac, profile]) => {
      const row = document.querySelector(`[data-testid="machine-row"][data-mac="${mac}"]`);
      const option = row?.querySelector('select option[selected]');
      return option?.value === profile;
    },
    [mac, profile],
  );
  say('assigned in the browser');
}

async function watchItBoot(link) {
  await page.goto(link);
  await page.evaluate(() => { window.notReloaded = true; });
  // The last of the kernel's files: it arrives in the timeline while we look on.
  await page.getByTestId('event').filter({ hasText: 'initrd.gz' }).first().waitFor({ timeout: 600_000 });
  assert.equal(await page.evaluate(() => window.notReloaded), true, 'the page was reloaded');
  await shot('machine');
  await shot('machine-dark', { dark: true });
  await shot('machine-phone', { phone: true });
  say('its boot was seen live');
}

// The lab has entered more machines by now, four of them in rack 12.
async function changeManyAtOnce() {
  await page.goto('/machines');
  const rows = page.getByTestId('machine-row');
  await rows.filter({ hasText: 'rack12-u4' }).waitFor();

  // The filter stands in the address, so that it can be shared and survives a reload.
  await page.getByTestId('filter').fill('rack=12');
  await page.waitForURL(/[?&]q=rack/);
  await rows.filter({ hasText: 'rack11-u1' }).waitFor({ state: 'detached' });
  await page.reload();
  assert.equal(await rows.count(), 4, 'the filter survives a reload');

  // All that match, and then two rows that are ticked.
  await page.getByTestId('bulk-scope').selectOption('all');
  page.once('dialog', (question) => question.accept());
  await page.getByTestId('bulk-profile').selectOption('local-disk');
  await page.getByTestId('bulk-assign').click();
  await assigned(4, 'local-disk');
  for (const name of ['rack12-u2', 'rack12-u3']) {
    await rows.filter({ hasText: name }).getByTestId('select').check();
  }
  await page.getByTestId('bulk-scope').selectOption('selected');
  await page.getByTestId('bulk-profile').selectOption('memtest86-plus');
  await page.getByTestId('bulk-assign').click();
  await assigned(2, 'memtest86-plus');
  await assigned(2, 'local-disk');

  await page.getByTestId('filter').fill('no such machine');
  await rows.first().waitFor({ state: 'detached' });
  say('changed many at once');

  async function assigned(count, name) {
    await page.waitForFunction(
      ([count, name]) => {
        const chosen = [...document.querySelectorAll('[data-testid="machine-row"] select option[selected]')];
        return chosen.filter((option) => option.value === name).length === count;
      },
      [count, name],
    );
  }
}

async function lookAtEveryPage(link) {
  await page.goto('/machines');
  await page.locator(`[data-mac="${mac}"]`).waitFor();
  await shot('machines');
  await shot('machines-dark', { dark: true });
  await shot('machines-phone', { phone: true });

  await page.goto('/boots');
  await page.getByTestId('event').first().waitFor();
  await shot('boots');
  await page.goto('/profiles');
  await page.getByTestId('profile-row').first().waitFor();
  await shot('profiles');
  await page.goto(`/profiles/${profile}`);
  await shot('profile');
  await page.goto('/status');
  await page.getByRole('heading', { name: 'Status', level: 1 }).waitFor();
  await shot('status');
  await page.goto('/settings');
  await page.getByRole('heading', { name: 'Settings', level: 1 }).waitFor();
  await shot('settings');

  // Keyboard: the first Tab offers to skip the navigation.
  await page.goto(link);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('href')), '#main');
  say('every page was looked at');
}

// One picture of what a person sees first: a whole page would be mostly a script's text.
async function shot(name, { dark = false, phone = false } = {}) {
  await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce' });
  await page.setViewportSize(phone ? { width: 390, height: 844 } : { width: 1280, height: 860 });
  if (phone) {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${name} is ${wide} pixels wide on a phone of 390`);
  }
  await page.evaluate(() => window.scrollTo(0, 0));
  await page.screenshot({ path: `${shots}${name}.png` });
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1280, height: 860 });
}

function need(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: this test is started by the lab (make boots BOOTS=browser)`);
  return value;
}

function say(line) {
  console.log(line);
}
