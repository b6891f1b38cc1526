//! Every target passes on every input of its corpus, and on some that chance makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tas_fuzz::{TARGETS, Target};

/// Targets count descriptors, which the process has in common.
static ALONE: Mutex<()> = Mutex::new(());

/// Names the input on which a target panics.
struct Named<'a>(&'a Path);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("on {}", self.0.display());
        }
    }
}

fn inputs(target: &Target) -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let files = fs::read_dir(corpus.join(target.name)).unwrap();
    let mut inputs: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    inputs.sort();
    inputs
}

fn passes(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (target.run)(&[]);
    let inputs = inputs(target);
    assert!(!inputs.is_empty(), "no corpus");
    for path in inputs {
        let named = Named(&path);
        (target.run)(&fs::read(named.0).unwrap());
    }
}

macro_rules! corpora {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                passes(stringify!($target));
            }
        )*

        /// No target is without its test.
        #[test]
        fn all_targets_are_tested() {
            let tested = [$(stringify!($target)),*];
            let all: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(all, tested);
        }
    };
}

corpora! {
    application
    command_line
    flow
    frames
    handshake
    icmp
    network
    options
    pair
    service
}
