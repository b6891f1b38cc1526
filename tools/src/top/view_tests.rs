use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::top::model::Sort;
use crate::top::model::tests::sample;

fn settings() -> Settings {
    Settings::new(Duration::from_secs(1), Sort::Rate)
}

/// What is on a terminal of that size, a string for each line.
fn screen(size: (u16, u16), picture: Result<&Picture, &str>, settings: &Settings) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal
        .draw(|frame| draw(frame, picture, settings))
        .unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..size.0).map(move |x| buffer[(x, y)].symbol());
    (0..size.1)
        .map(|y| line(y).collect::<String>().trim_end().to_owned())
        .collect()
}

fn picture() -> Picture {
    Picture::new(Some(&sample(3600)), &sample(3601), Sort::Rate)
}

#[test]
fn everything_has_its_place() {
    let lines = screen((110, 20), Ok(&picture()), &settings());
    assert!(lines[0].starts_with("tas pid 42 up 1:00:01  cores 1/2  connections 2"));
    let find = |start: &str| {
        let found = lines.iter().position(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start} in {lines:#?}"))
    };
    let core = find("CORE");
    assert!(lines[core + 1].starts_with("0        25.0     50"));
    let app = find("PID");
    assert!(lines[app + 1].starts_with("77       echo"));
    assert!(lines[app + 1].contains("3M       1.0G"));
    let conn = find("ID ");
    assert!(lines[conn - 1].starts_with("Connections 1-2 of 2"));
    assert!(lines[conn + 1].starts_with("9       10.0.0.1:80            10.0.0.2:2000"));
    assert!(lines[19].starts_with("q quit  h help  s sort: rate  interval 1.0 s"));
}

#[test]
fn scrolling_pausing_and_help_show() {
    let mut settings = settings();
    settings.scroll = 1;
    settings.paused = true;
    let lines = screen((110, 20), Ok(&picture()), &settings);
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("Connections 2-2 of 2"))
    );
    assert!(!lines.iter().any(|line| line.contains("10.0.0.2:2000")));
    assert!(lines[19].ends_with("PAUSED"));
    settings.help = true;
    let lines = screen((110, 20), Ok(&picture()), &settings);
    assert!(lines.iter().any(|line| line.contains("q, Esc  quit")));
}

#[test]
fn the_absence_of_a_service_is_said() {
    let lines = screen((60, 10), Err("/dev/shm/tas_stats: gone"), &settings());
    assert!(lines.iter().any(|line| line.contains("No service.")));
    assert!(lines.iter().any(|line| line.contains("tas_stats: gone")));
}

#[test]
fn no_terminal_is_too_small() {
    let mut settings = settings();
    for help in [false, true] {
        settings.help = help;
        for size in [(1, 1), (2, 3), (10, 4), (80, 6), (300, 100)] {
            screen(size, Ok(&picture()), &settings);
            screen(size, Err("x"), &settings);
        }
    }
    settings.scroll = usize::MAX / 2;
    screen((80, 24), Ok(&Picture::default()), &settings);
}
