// The page script in a real browser, against the sample site of `cargo run --example ui_demo`:
// what the person has typed, ticked and chosen survives live updates, and every page works at
// phone width, in the dark, and without JavaScript.
//
//   UI_DEMO=target/debug/examples/ui_demo node pages.mjs

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const demo = spawn(process.env.UI_DEMO ?? '../../target/debug/examples/ui_demo', ['0', 'live']);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
});
try {
  const [line] = await once(demo.stdout, 'data');
  const link = new URL(String(line).trim());
  const context = await browser.newContext({ baseURL: link.origin });
  const page = await context.newPage();
  const faults = watch(page);
  await setUp(page, link);
  await liveUpdatesKeepWhatIsBegun(page);
  await actionsStayOnThePage(page);
  await theFilterIsTyped(page);
  await foldsAndTabsStay(page);
  await theKeyboardIsEnough(page);
  await transfersMove(page);
  await imagesAreBroughtIn(page);
  await anUploadOutlivesItsPage(page);
  await whatCannotBeDroppedSaysSo(page);
  await imagesAreFetched(page);
  await switchesAreAsked(page);
  const [lost, others] = [true, false].map((cut) =>
    faults.filter((fault) => fault.includes('ERR_CONNECTION_RESET') === cut));
  assert.notEqual(lost.length, 0, 'the pieces that were lost');
  assert.deepEqual(others, []);
  const storageState = await context.storageState();
  await everyPageFits(link.origin, storageState);
  await noScriptIsNeeded(link.origin, storageState);
  console.log('pages: ok');
} finally {
  await browser.close();
  demo.kill();
}

function watch(page) {
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  return faults;
}

async function setUp(page, link) {
  await page.goto(link.href);
  await page.getByTestId('username').fill('ada');
  await page.getByTestId('password').fill('a horse, a nail and a shoe');
  await page.getByTestId('password-again').fill('a horse, a nail and a shoe');
  await page.getByTestId('setup').click();
  await page.waitForURL('**/machines');
}

async function liveUpdatesKeepWhatIsBegun(page) {
  await third(page).getByTestId('select').check();
  await third(page).getByTestId('assign-select').selectOption('memtest86');
  await page.getByTestId('filter').focus();
  const before = await rows(page).count();
  await page.waitForFunction(
    (n) => document.querySelectorAll('[data-testid=machine-row]').length > n, before,
  );
  assert.equal(await third(page).getByTestId('select').isChecked(), true, 'the tick');
  assert.equal(await third(page).getByTestId('assign-select').inputValue(), 'memtest86');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'q', 'the focus');
  assert.match(await page.locator('#news').textContent(), /New machine/);
}

async function actionsStayOnThePage(page) {
  await third(page).getByTestId('assign-button').click();
  await said(page, 'forge-03 boots memtest86');
  await page.getByTestId('default-wait').click();
  await said(page, 'now get: wait');
  assert.equal(await page.getByTestId('default-wait').isDisabled(), true);
  assert.equal(new URL(page.url()).pathname, '/machines');
}

async function theFilterIsTyped(page) {
  await page.getByTestId('filter').pressSequentially('forge', { delay: 20 });
  await page.waitForFunction(
    () => document.querySelectorAll('[data-testid=machine-row]').length === 3,
  );
  assert.equal(new URL(page.url()).search, '?q=forge', 'a view is a bookmark');
  await page.getByTestId('bulk-scope').selectOption('all');
  page.once('dialog', (question) => question.accept());
  await page.getByTestId('bulk-profile').selectOption('local-disk');
  await page.getByTestId('bulk-assign').click();
  await said(page, '3 machines');
  assert.equal(await third(page).getByTestId('assign-select').inputValue(), 'local-disk');
}

async function foldsAndTabsStay(page) {
  await page.goto('/machines/1');
  await page.locator('label[for=menu-grub]').click();
  const fold = page.locator('.attempt').last();
  await fold.locator('> summary').click();
  const opened = await fold.evaluate((f) => f.open);
  const update = page.waitForResponse((r) => r.url().endsWith('/machines/1'));
  await update;
  await page.waitForTimeout(300);
  assert.equal(await page.locator('#menu-grub').isChecked(), true, 'the tab');
  assert.equal(await fold.evaluate((f) => f.open), opened, 'the fold');
}

async function theKeyboardIsEnough(page) {
  await page.goto('/machines');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'q');
}

async function transfersMove(page) {
  for (const path of ['/boots', '/status', '/machines/2']) {
    await page.goto(path);
    const row = page.locator('#moving, #m-moving').getByTestId('transfer').filter({ hasText: 'debian-12/linux' });
    await row.waitFor();
    // The bar itself goes on and is not drawn anew; a transfer that ends meanwhile has another row.
    let moved = false;
    for (let tries = 0; !moved && tries < 3; tries++) {
      const bar = await row.locator('progress').elementHandle();
      const before = await bar.getAttribute('value');
      await page.waitForFunction(
        ([bar, before]) => !bar.isConnected || bar.getAttribute('value') !== before,
        [bar, before],
      );
      moved = await bar.evaluate((bar) => bar.isConnected);
    }
    assert.ok(moved, `a transfer moves on ${path}`);
  }
}

async function imagesAreBroughtIn(page) {
  await page.goto('/images');
  const files = ['vmlinuz', 'initrd.img'].map((name, n) => ({
    name, mimeType: 'application/octet-stream', buffer: Buffer.alloc(9e6 + n, name),
  }));
  await page.getByTestId('image-file').setInputFiles(files[0]);
  await page.getByText('Name a directory for it').waitFor();
  await page.getByTestId('image-dir').fill('fresh');
  // The first piece is lost on its way: it is sent again, from where the server is.
  let lost = 0;
  await page.route('**/images/uploads/*?offset=*', (route) =>
    lost++ === 1 ? route.abort('connectionreset') : route.continue());
  await page.getByTestId('image-file').setInputFiles(files);
  const row = page.getByTestId('image-row').filter({ hasText: 'fresh' });
  await row.getByTestId('offer').waitFor();
  assert.equal(lost, 5, 'two pieces each, and one of them twice');
  await page.unroute('**/images/uploads/*?offset=*');
  await page.screenshot({ path: process.env.SHOT_IMAGES ?? 'artifacts/images.png', fullPage: true });
  await row.getByTestId('offer').click();
  await said(page, 'Made fresh');
  assert.equal(await row.getByTestId('delete-image').isDisabled(), true, 'a profile boots from it');
}

// The page is loaded again while a file is under way: chosen again, it goes on where it stopped.
async function anUploadOutlivesItsPage(page) {
  const dir = await mkdtemp(join(tmpdir(), 'farrier-'));
  const file = join(dir, 'vmlinuz (2)');
  await writeFile(file, Buffer.alloc(20e6, 'kernel'));
  const offsets = [];
  let broken = true;
  const pieces = '**/images/uploads/*?offset=*';
  await page.route(pieces, (route) => {
    offsets.push(Number(new URL(route.request().url()).searchParams.get('offset')));
    return broken && offsets.length > 1 ? route.abort('connectionreset') : route.continue();
  });
  await page.getByTestId('image-dir').fill('later');
  await page.getByTestId('image-file').setInputFiles(file);
  await page.getByTestId('upload').getByText('interrupted').waitFor();
  const leave = (dialog) => dialog.accept();
  page.on('dialog', leave);
  await page.reload();
  page.off('dialog', leave);
  broken = false;
  const coming = page.getByTestId('coming-row').filter({ hasText: 'later/vmlinuz-2' });
  await coming.waitFor();
  const before = offsets.length;
  await page.getByTestId('image-dir').fill('later');
  await page.getByTestId('image-file').setInputFiles(file);
  await page.getByTestId('image-row').filter({ hasText: 'later' }).waitFor();
  assert.equal(offsets[0], 0);
  assert.deepEqual(offsets.slice(before), [8, 16].map((mib) => mib * 1024 * 1024), 'what had come is not sent again');
  await page.unroute(pieces);
  await rm(dir, { recursive: true });
}

async function whatCannotBeDroppedSaysSo(page) {
  await page.getByTestId('drop-zone').evaluate((zone) => {
    // A script cannot make an entry of a real directory: this is what a browser hands over for one.
    const folder = { kind: 'file', webkitGetAsEntry: () => ({ isDirectory: true }) };
    const event = new Event('drop', { cancelable: true, bubbles: true });
    event.dataTransfer = { items: [folder], files: [new File([], 'live-system')] };
    zone.dispatchEvent(event);
  });
  await page.getByTestId('upload').filter({ hasText: 'live-system' }).getByText('A directory cannot be dropped').waitFor();
}

async function imagesAreFetched(page) {
  await page.goto('/images');
  await page.getByTestId('fetch-open').click();
  await page.getByTestId('fetch-url').fill('http://10.1.2.3/inner.iso');
  await page.getByTestId('fetch-begin').click();
  await said(page, 'Fetching inner.iso');
  // Nobody asked for the page again: it looks by itself.
  const row = page.getByTestId('fetch-row').filter({ hasText: 'inner.iso' });
  await row.getByText('outgoing.allow').waitFor();
  // What is begun in the form stays while the list moves.
  await page.getByTestId('fetch-open').click();
  await page.getByTestId('fetch-url').fill('http://10.1.2.3/other.iso');
  await page.getByTestId('mirror-open').click();
  await row.getByTestId('fetch-retry').click();
  await row.getByText('outgoing.allow').waitFor();
  await page.getByTestId('fetch-open').click();
  await page.getByTestId('mirror-open').click();
  await page.screenshot({ path: process.env.SHOT_FETCH ?? 'artifacts/images-fetch.png', fullPage: true });
  page.once('dialog', (dialog) => dialog.accept());
  await row.getByTestId('fetch-cancel').click();
  await said(page, 'inner.iso is not fetched');
}

async function switchesAreAsked(page) {
  await page.goto('/machines?q=forge');
  await page.getByTestId('bulk-scope').selectOption('all');
  await page.getByTestId('bulk-power').selectOption('status');
  page.once('dialog', (question) => question.accept());
  await page.getByTestId('bulk-switch').click();
  await page.waitForURL('**/machines/power?batch=*');
  // Nobody asks for the page again: it looks by itself until each has answered.
  await page.waitForFunction(
    () => document.querySelector('[data-testid=batch-summary]').textContent === '3 not done',
  );
  const row = page.getByTestId('batch-row').filter({ hasText: 'forge-01' });
  assert.match(await row.textContent(), /an address of this server itself/);

  await page.goto('/machines/1');
  await page.getByTestId('order-profile').selectOption('debian-12');
  await page.getByTestId('install-now').click();
  await page.waitForURL('**/machines/confirm?**');
  await page.screenshot({ path: process.env.SHOT_NOW ?? 'artifacts/install-now.png', fullPage: true });
  await page.getByTestId('sure-install-now').click();
  await page.waitForURL('**/machines/power?batch=*');
  await page.getByText('the order stands, power it on by hand').waitFor();
  await page.screenshot({ path: process.env.SHOT_BATCH ?? 'artifacts/batch.png', fullPage: true });
  await page.goto('/machines/1');
  await page.getByTestId('cancel').click();
  await said(page, 'Cancelled');
}

async function everyPageFits(baseURL, storageState) {
  const viewport = { width: 390, height: 844 };
  const phone = await browser.newContext({
    baseURL, storageState, viewport, isMobile: true, hasTouch: true, colorScheme: 'dark',
  });
  const page = await phone.newPage();
  const faults = watch(page);
  for (const path of [
    '/machines', '/machines/1', '/machines/power?batch=1', '/conflicts', '/machines/new', '/boots?all=1', '/profiles', '/profiles/new',
    '/profiles/debian-12', '/machines/1/review', '/rules', '/rules/new', '/rules/lab', '/templates', '/templates/template/debian-12',
    '/templates/group', '/settings/files', '/settings/secrets', '/settings/hooks', '/images', '/images?mirror=debian-12-netboot',
    '/uploads', '/uploads/file?name=configs/core/sw1.cfg', '/status', '/settings',
  ]) {
    await page.goto(path);
    // A phone makes its window as wide as what does not fit: the screen is what counts.
    const over = await page.evaluate((w) => document.documentElement.scrollWidth - w, viewport.width);
    assert.ok(over <= 0, `${path} is ${over} px too wide for a phone`);
  }
  assert.deepEqual(faults, []);
}

async function noScriptIsNeeded(baseURL, storageState) {
  const plain = await browser.newContext({ baseURL, storageState, javaScriptEnabled: false });
  const page = await plain.newPage();
  await page.goto('/machines');
  await page.locator('[data-mac="52:54:00:a1:17:18"]').getByTestId('adopt').click();
  assert.match(await page.getByTestId('notice').textContent(), /is adopted/);
}

function rows(page) {
  return page.getByTestId('machine-row');
}

function third(page) {
  return page.locator('[data-mac="52:54:00:a1:17:12"]');
}

async function said(page, text) {
  await page.waitForFunction((t) => document.querySelector('#toast').textContent.includes(t), text);
}
