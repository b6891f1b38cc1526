//! What keys do to the view.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::Sort;

const FASTEST: Duration = Duration::from_millis(100);
const SLOWEST: Duration = Duration::from_secs(60);

/// How things are shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Between two looks.
    pub interval: Duration,
    /// Order of connections.
    pub sort: Sort,
    /// The first connection shown.
    pub scroll: usize,
    /// The picture stands still.
    pub paused: bool,
    /// The keys are explained.
    pub help: bool,
    /// It is over.
    pub quit: bool,
}

impl Settings {
    /// At the start.
    pub fn new(interval: Duration, sort: Sort) -> Settings {
        Settings {
            interval: interval.clamp(FASTEST, SLOWEST),
            sort,
            scroll: 0,
            paused: false,
            help: false,
            quit: false,
        }
    }

    /// Obeys a key, while there are `conns` connections.
    pub fn key(&mut self, key: KeyEvent, conns: usize) {
        const PAGE: usize = 10;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => self.quit = true,
            KeyCode::Char('q') => self.quit = true,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Esc => self.quit = true,
            KeyCode::Char('h' | '?') => self.help = !self.help,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('+') => self.interval = (self.interval * 2).min(SLOWEST),
            KeyCode::Char('-') => self.interval = (self.interval / 2).max(FASTEST),
            KeyCode::Down => self.scroll += 1,
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown => self.scroll += PAGE,
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            KeyCode::Home => self.scroll = 0,
            KeyCode::End => self.scroll = conns,
            _ => {}
        }
        self.scroll = self.scroll.min(conns.saturating_sub(1));
    }
}

/// The keys and what they do.
pub const HELP: [(&str, &str); 7] = [
    ("q, Esc", "quit"),
    ("h, ?", "this help"),
    ("s", "sort connections by the next of rate, queue, rtt, id"),
    ("p, space", "pause"),
    ("+ -", "longer or shorter interval"),
    (
        "up down",
        "scroll the connections, also with page up and page down",
    ),
    ("Home End", "first and last connection"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_change_settings() {
        let mut settings = Settings::new(Duration::from_secs(1), Sort::Rate);
        let press = |settings: &mut Settings, code| {
            settings.key(KeyEvent::new(code, KeyModifiers::NONE), 5);
        };
        press(&mut settings, KeyCode::Char('s'));
        assert_eq!(settings.sort, Sort::Queue);
        for _ in 0..3 {
            press(&mut settings, KeyCode::Char('s'));
        }
        assert_eq!(settings.sort, Sort::Rate);
        press(&mut settings, KeyCode::PageDown);
        assert_eq!(settings.scroll, 4, "the last one stays in view");
        press(&mut settings, KeyCode::Up);
        press(&mut settings, KeyCode::Home);
        press(&mut settings, KeyCode::Up);
        assert_eq!(settings.scroll, 0);
        for _ in 0..20 {
            press(&mut settings, KeyCode::Char('-'));
        }
        assert_eq!(settings.interval, FASTEST);
        for _ in 0..20 {
            press(&mut settings, KeyCode::Char('+'));
        }
        assert_eq!(settings.interval, SLOWEST);
        press(&mut settings, KeyCode::Char('?'));
        press(&mut settings, KeyCode::Esc);
        assert!(!settings.help && !settings.quit);
        press(&mut settings, KeyCode::Char('c'));
        assert!(!settings.quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        settings.key(interrupt, 0);
        assert!(settings.quit);
    }
}
