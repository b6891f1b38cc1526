//! Shows what the running service does, again and again.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tas_tools::cli::{self, Top};
use tas_tools::region;
use tas_tools::top::keys::Settings;
use tas_tools::top::model::{Picture, Sort};
use tas_tools::top::source::Sample;
use tas_tools::top::{json, plain, view};

fn main() -> ExitCode {
    match cli::parse::<Top>() {
        Ok(args) => region::exit("tas-top", run(&args)),
        Err(status) => status,
    }
}

fn run(args: &Top) -> io::Result<()> {
    let interval = Duration::from_secs_f64(args.interval);
    if args.json {
        let document = json::document(&Sample::take()?);
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &document)?;
        return writeln!(out);
    }
    if args.once || args.batch {
        return batch(interval, args.once);
    }
    // Before the terminal is taken, so that the reason is seen.
    let first = Sample::take()?;
    let mut terminal = ratatui::try_init()?;
    let result = live(&mut terminal, first, Settings::new(interval, Sort::Rate));
    ratatui::restore();
    result
}

/// Prints plain text, once or until the service ends.
fn batch(interval: Duration, once: bool) -> io::Result<()> {
    let mut before = Sample::take()?;
    loop {
        std::thread::sleep(interval);
        let now = Sample::take()?;
        let picture = Picture::new(Some(&before), &now, Sort::Rate);
        let mut out = io::stdout().lock();
        out.write_all(plain::text(&picture).as_bytes())?;
        if once {
            return out.flush();
        }
        writeln!(out)?;
        out.flush()?;
        before = now;
    }
}

/// The last two looks that found a service, or why the last one found none.
struct Looks {
    before: Option<Sample>,
    now: Result<Sample, String>,
}

impl Looks {
    fn look(&mut self) {
        let next = Sample::take().map_err(|error| error.to_string());
        self.before = std::mem::replace(&mut self.now, next).ok();
    }

    fn picture(&self, sort: Sort) -> Result<Picture, String> {
        let now = self.now.as_ref().map_err(Clone::clone)?;
        Ok(Picture::new(self.before.as_ref(), now, sort))
    }
}

fn live(terminal: &mut DefaultTerminal, first: Sample, mut settings: Settings) -> io::Result<()> {
    let mut looks = Looks {
        before: None,
        now: Ok(first),
    };
    let mut last = Instant::now();
    while !settings.quit {
        let picture = looks.picture(settings.sort);
        let shown = picture.as_ref().map_err(String::as_str);
        terminal.draw(|frame| view::draw(frame, shown, &settings))?;
        let left = settings.interval.saturating_sub(last.elapsed());
        if event::poll(left)? {
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                settings.key(key, picture.map_or(0, |picture| picture.conns.len()));
            }
        } else {
            last = Instant::now();
            if !settings.paused {
                looks.look();
            }
        }
    }
    Ok(())
}
