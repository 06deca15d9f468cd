use super::*;
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Mutex;
use testkit::nbd::Disk;

fn nbdkit(dir: &std::path::Path, program: &str) -> Nbdkit {
    Nbdkit {
        program: program.to_owned(),
        port: 10809,
        dir: dir.to_owned(),
        writable: false,
        ports: Arc::new(Mutex::new(BTreeMap::new())),
        process: Arc::default(),
    }
}

// The clock stands still unless everybody waits: the looks follow each other at once.
#[tokio::test(start_paused = true)]
async fn a_disk_that_nobody_asks_for_any_more_is_served_to_who_has_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("m7-a.img");
    std::fs::write(&file, [7; 4096]).expect("written");
    let nbdkit = nbdkit(dir.path(), "nbdkit");
    let (ports, process) = (Arc::clone(&nbdkit.ports), Arc::clone(&nbdkit.process));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = listener.local_addr().expect("bound");
    let (needed, mut needs) = watch::channel(true);
    let serving = tokio::spawn(async move {
        nbdkit.serve(&listener, &mut needs, |now| *now).await;
    });
    let connect = tokio::task::spawn_blocking(move || Disk::connect(server, "m7-a.img"));
    let mut disk = connect.await.expect("no panic").expect("served");
    assert_eq!(disk.read().expect("read"), [7; 512]);
    let opened = open::of_process(process.load(Relaxed)).expect("ours");
    assert_eq!(opened, [file.clone()].into());
    assert!(open::by_anybody("m7-a.img") && !open::by_anybody("m8-a.img"));

    needed.send_replace(false);
    loop {
        let row = ports.lock().expect("no panic").get(&10809).cloned();
        if row.expect("still served").detail.contains("connected") {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Also one that was deleted meanwhile.
    std::fs::remove_file(&file).expect("removed");
    let opened = open::of_process(process.load(Relaxed)).expect("ours");
    assert_eq!(opened, [file].into());
    assert_eq!(disk.read().expect("still served"), [7; 512]);

    drop(disk);
    serving.await.expect("ends by itself");
    assert!(ports.lock().expect("no panic").is_empty());
    assert!(TcpStream::connect(server).is_err(), "the port is closed");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_not_there_is_named_and_tried_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let nbdkit = nbdkit(dir.path(), "no-such-nbdkit");
    let ports = Arc::clone(&nbdkit.ports);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (needed, mut needs) = watch::channel(true);
    let serving = tokio::spawn(async move {
        nbdkit.serve(&listener, &mut needs, |now| *now).await;
    });
    loop {
        let row = ports.lock().expect("no panic").get(&10809).cloned();
        if let Some(row) = row.filter(|row| row.state == "failed") {
            assert_eq!(row.detail, "cannot start no-such-nbdkit (package nbdkit)");
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    needed.send_replace(false);
    serving.await.expect("ends by itself");
}

#[test]
fn a_machine_that_lost_its_power_is_not_connected_for_ever() {
    // Any free port.
    let listener = listen(0).expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (accepted, _) = listener.accept().expect("accepted");
    let accepted = SockRef::from(&accepted);
    assert!(accepted.keepalive().expect("told"));
    assert_eq!(
        accepted.tcp_keepalive_time().expect("told"),
        Duration::from_secs(300)
    );
    drop(client);
}
