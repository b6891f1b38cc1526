use super::*;

fn options(extra: &[&str], cores: usize) -> EalOptions {
    EalOptions {
        program: "tas".into(),
        extra: extra.iter().map(|s| s.to_string()).collect(),
        cores,
    }
}

fn argv(options: &EalOptions) -> Vec<String> {
    arguments(options, default_file_prefix(&options.extra).as_deref())
        .unwrap()
        .into_iter()
        .map(|a| a.into_string().unwrap())
        .collect()
}

#[test]
fn extra_arguments_come_last_and_unchanged() {
    let argv = argv(&options(&["--vdev=net_ring0", "-l", "0,1"], 1));
    assert_eq!(argv[0], "tas");
    assert_eq!(argv[argv.len() - 3..], ["--vdev=net_ring0", "-l", "0,1"]);
}

#[test]
fn file_prefix_is_that_of_the_network_namespace_unless_given() {
    let inode = fs::metadata("/proc/self/ns/net").unwrap().ino();
    let chosen = format!("--file-prefix=tas-{inode}");
    assert!(argv(&options(&[], 1)).contains(&chosen));
    for given in ["--file-prefix=mine", "--in-memory", "--no-shconf"] {
        assert!(!argv(&options(&[given], 1)).contains(&chosen), "{given}");
    }
}

#[test]
fn memory_without_huge_pages_grows_with_cores_and_frames() {
    let megabytes = |extra: &[&str], cores| {
        let argv = argv(&options(extra, cores));
        let at = argv.iter().position(|a| a == "-m")?;
        argv[at + 1].parse::<usize>().ok()
    };
    assert_eq!(megabytes(&[], 1), None);
    assert_eq!(megabytes(&["--no-huge", "-m512"], 1), None);
    assert_eq!(megabytes(&["--no-huge"], 1), Some(128));
    assert_eq!(megabytes(&["--no-huge"], 4), Some(320));
    let jumbo = ["--no-huge", "--vdev=net_af_packet0,iface=a,framesz=16384"];
    assert_eq!(megabytes(&jumbo, 1), Some(192));
}

#[test]
fn huge_pages_leave_no_files_behind() {
    let unlinks = |extra: &[&str]| argv(&options(extra, 1)).contains(&"--huge-unlink".to_string());
    assert!(unlinks(&[]));
    assert!(!unlinks(&["--no-huge"]));
    assert!(!unlinks(&["--in-memory"]));
}

#[test]
fn an_argument_with_a_zero_byte_is_refused() {
    assert!(matches!(
        arguments(&options(&["a\0b"], 1), None),
        Err(NicError::BadArgument(_))
    ));
}

#[test]
fn example_maps_all_lcores_to_the_cpus_there_are() {
    assert_eq!(
        example_mapping(3, &[0, 1]),
        "--dpdk-extra=--lcores=0@0,1@1,2@0"
    );
    assert_eq!(example_mapping(2, &[5]), "--dpdk-extra=--lcores=0@5,1@5");
    assert_eq!(example_mapping(2, &[]), "--dpdk-extra=--lcores=0@0,1@0");
}
