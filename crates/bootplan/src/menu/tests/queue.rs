//! Waiting for a slot, and the ways to the local disk.

use super::*;

fn queued(language: Language) -> Decision {
    let mut decision = case(None)
        .unassigned(UnassignedPolicy::Wait)
        .decision(language);
    if let Outcome::Boot(plan) = &mut decision.outcome {
        plan.intent = Intent::Queue;
        plan.site.wait_limit_s = 14_400;
    }
    decision.because = Because::Queue {
        profile: "debian-12".parse().expect("a slug"),
        place: 7,
        of: 40,
    };
    decision
}

fn page(language: Language, decision: &Decision, round: u32) -> String {
    let client = Case::client(language);
    render(language, &client, decision, &server(), round)
}

const PLACE: &str = "Farrier: place 7 of 40 in the queue for 'debian-12'";

#[test]
fn a_machine_in_the_queue_is_told_its_place() {
    for (language, place) in [
        (Language::Ipxe, format!("echo {PLACE}")),
        (Language::Pxelinux, format!("SAY {PLACE}")),
        // In single quotes, in which it has some itself.
        (Language::Grub, "place 7 of 40 in the queue".to_owned()),
    ] {
        let page = page(language, &queued(language), 0);
        assert!(
            page.contains("node-7 waits for its turn to be installed"),
            "{page}"
        );
        assert!(page.contains(&place), "{page}");
        assert!(!page.contains("assign it at"), "{page}");
    }
    for language in [Language::Ipxe, Language::Pxelinux] {
        let page = page(language, &queued(language), 9);
        assert!(page.contains("node-7 still waits: place 7 of 40"), "{page}");
    }
    let grub = page(Language::Grub, &queued(Language::Grub), 0);
    let (_, inner) = grub
        .rsplit_once("\nelse\n")
        .expect("what an inner copy does");
    assert!(inner.contains("still waits: place 7 of 40"), "{inner}");
}

#[test]
fn a_queue_that_does_not_move_ends_on_the_disk() {
    for (language, round) in [
        (Language::Ipxe, 14_400 / 5),
        (Language::Pxelinux, pxelinux::ROUND_LIMIT),
    ] {
        let page = page(language, &queued(language), round);
        assert!(
            page.contains("no slot became free within 14400 s"),
            "{page}"
        );
    }
    // A slot is given back after ten minutes; PXELINUX, which cannot ask often, asks sooner.
    let decision = queued(Language::Pxelinux);
    for round in 0..pxelinux::ROUND_LIMIT {
        let page = page(Language::Pxelinux, &decision, round);
        let pause = page.lines().find_map(|l| l.strip_prefix("TIMEOUT "));
        let tenths = pause.and_then(|p| p.parse::<u32>().ok()).expect("a pause");
        assert!(tenths < 10 * 5 * 60, "round {round}: {tenths}");
    }
}

#[test]
fn the_way_to_the_local_disk_can_be_chosen() {
    let ends = |language: Language, local_boot: LocalBoot| {
        let decision = Decision {
            local_boot,
            ..case(Some("disk")).decision(language)
        };
        page(language, &decision, 0)
    };
    let sanboot = "\nsanboot --no-describe --drive 0x80 || exit 1\n";
    let ipxe = |local_boot| ends(Language::Ipxe, local_boot);
    assert!(ipxe(LocalBoot::Auto).contains("\niseq ${platform} efi && exit 1 ||\n"));
    assert!(ipxe(LocalBoot::Auto).ends_with(sanboot));
    assert!(ipxe(LocalBoot::FirstDisk).ends_with(sanboot));
    assert!(!ipxe(LocalBoot::FirstDisk).contains("exit 1 ||"));
    assert!(ipxe(LocalBoot::Exit).ends_with("local disk\nexit 0\n"));
    assert!(ipxe(LocalBoot::NextEntry).ends_with("local disk\nexit 1\n"));
    let installed = ipxe(LocalBoot::LocalGrub);
    assert!(installed.contains("--drive 0x80 --filename \\EFI\\debian\\shim${efi}.efi ||\n"));
    assert!(installed.ends_with(sanboot) && installed.contains("goto disk\n"));
    let pxelinux = |local_boot| ends(Language::Pxelinux, local_boot);
    assert!(pxelinux(LocalBoot::Auto).ends_with("LOCALBOOT 0\n"));
    assert!(pxelinux(LocalBoot::Exit).ends_with("LOCALBOOT -1\n"));
    assert!(pxelinux(LocalBoot::NextEntry).ends_with("LOCALBOOT 0\n"));
    let grub = |local_boot| ends(Language::Grub, local_boot);
    assert!(grub(LocalBoot::Auto).contains("chainloader"));
    assert!(grub(LocalBoot::LocalGrub).contains("chainloader"));
    assert!(!grub(LocalBoot::Exit).contains("chainloader"));
    assert!(grub(LocalBoot::Exit).contains("\nfunction farrier_local {\n"));
}
