//! A fetcher with a directory of its own, and a web server that does as it is told.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses its own part"
)]

use bootfiles::images::{ImageInfo, ImageStore};
use bootplan::EventKind;
use data_encoding::HEXLOWER;
use fetch::{Fetcher, JobView, Means, Order, Patience, Proof, Releases, Stage};
use reach::{Allowed, Client};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::image::{self, Flavour, pattern};
use testkit::web::Web;

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub web: Web,
    pub images: ImageStore,
    pub fetcher: Fetcher,
    pub told: Arc<Mutex<Vec<EventKind>>>,
}

/// Loopback is opened by address, as an operator would.
pub fn here() -> Client {
    Client::new(Allowed(vec!["127.0.0.1".parse().expect("address")]))
}

pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(here())
    }

    pub fn with(client: Client) -> Bench {
        let dir = tempfile::tempdir().expect("a directory");
        let told = Arc::default();
        let (images, fetcher) = open(&dir, client, &told);
        let web = Web::start();
        Bench {
            dir,
            web,
            images,
            fetcher,
            told,
        }
    }

    /// As after kill -9: nobody closed or wrote anything down.
    pub fn restart(&mut self) {
        self.fetcher.stop();
        (self.images, self.fetcher) = open(&self.dir, here(), &self.told);
        self.fetcher.start();
    }

    /// An ISO of some MiB.
    pub fn iso(&self) -> Vec<u8> {
        let (tree, iso) = (self.dir.path().join("tree"), self.dir.path().join("made"));
        if !iso.exists() {
            fs::create_dir(&tree).expect("made");
            fs::write(tree.join("vmlinuz"), pattern(300_001, 1)).expect("written");
            fs::write(tree.join("initrd.gz"), pattern(5_000_001, 2)).expect("written");
            image::make(Flavour::RockRidge, &tree, &iso);
        }
        fs::read(iso).expect("readable")
    }

    pub async fn begin(&self, path: &str, proof: Proof) -> JobView {
        let begun = self.fetcher.begin(self.order(path, proof)).await;
        begun.expect("an order that can be carried out")
    }

    pub fn order(&self, path: &str, proof: Proof) -> Order {
        Order {
            url: self.web.url(path),
            by: "morgan".to_owned(),
            proof,
            ..Order::default()
        }
    }

    /// Waits until a job does what is asked for.
    pub async fn until(&self, id: &str, there: impl Fn(&JobView) -> bool) -> JobView {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let job = self.fetcher.get(id).expect("it is on the list");
            if there(&job) {
                return job;
            }
            assert!(Instant::now() < deadline, "{job:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn end(&self, id: &str) -> JobView {
        let over = |job: &JobView| matches!(job.stage, Stage::Done { .. } | Stage::Failed { .. });
        self.until(id, over).await
    }

    /// Fetches something to its end; why it failed.
    pub async fn failure(&self, path: &str, proof: Proof) -> String {
        let job = self.begin(path, proof).await;
        match self.end(&job.id).await.stage {
            Stage::Failed { why } => why,
            stage => panic!("{stage:?}"),
        }
    }

    pub fn image(&self, name: &str) -> Option<Arc<ImageInfo>> {
        self.images.get(name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("images").join(name)
    }

    /// How many things lie in the hidden directory of what is on its way in.
    pub fn staged(&self) -> usize {
        let entries = fs::read_dir(self.path(".staging")).expect("readable");
        entries.count()
    }

    /// Jobs that are written down.
    pub fn written(&self) -> usize {
        let entries = fs::read_dir(self.dir.path().join("fetches")).expect("readable");
        entries.count()
    }

    /// From which octets a path was asked, and how that was answered.
    pub fn asked(&self, path: &str) -> Vec<(Option<usize>, u16)> {
        let asked = self.web.asked().into_iter();
        let of = asked.filter(|asked| asked.path.split('?').next() == Some(path));
        of.map(|asked| (asked.from, asked.status)).collect()
    }

    pub fn problems(&self) -> Vec<Option<String>> {
        let told = self.told.lock().expect("lock");
        let problem = |kind: &EventKind| match kind {
            EventKind::ImageFetched { problem, .. } => problem.clone(),
            other => panic!("{other:?}"),
        };
        told.iter().map(problem).collect()
    }
}

fn open(
    dir: &tempfile::TempDir,
    client: Client,
    told: &Arc<Mutex<Vec<EventKind>>>,
) -> (ImageStore, Fetcher) {
    let images = ImageStore::open(&dir.path().join("images"), &dir.path().join("recipes"));
    let images = images.expect("a directory");
    let told = Arc::clone(told);
    let tell = Arc::new(move |kind| told.lock().expect("lock").push(kind));
    let patience = Patience {
        first: Duration::from_millis(1),
        tries: 3,
    };
    let jobs = dir.path().join("fetches");
    let means = Means {
        images: images.clone(),
        client,
        tell,
        patience,
        keyrings: vec![dir.path().join("keyrings")],
        recipes: dir.path().join("mirrors"),
        mirrors: BTreeMap::new(),
        releases: Releases::at(&dir.path().join("releases.json")),
    };
    let fetcher = Fetcher::open(&jobs, means);
    (images, fetcher.expect("a directory"))
}
