//! The committed counts, and how new ones compare with them.

use std::fmt::Write as _;

use thiserror::Error;

/// Below this part of the baseline, a count is worth a new baseline.
const MUCH_BETTER: f64 = 0.95;
/// Instructions that a count may always be higher: what an aligned copy more or less makes.
const SLACK: f64 = 0.5;
const HEAD: &str = "\
# Instructions per operation, by callgrind. Written by `make instructions-baseline`, compared by
# `make check-instructions`.
";
const BUILT_WITH: &str = "built with: ";

/// Why a baseline cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadBaseline {
    /// It does not say what the code was built with.
    #[error("no line `{BUILT_WITH}...`")]
    NoToolchain,
    /// A line is not a name and a number.
    #[error("line {0} is not a name and a number")]
    BadLine(usize),
}

/// Counts, and what they were counted with.
#[derive(Debug, PartialEq)]
pub struct Baseline {
    /// Compiler, C library, valgrind.
    pub toolchain: String,
    /// Cases, with instructions per operation.
    pub counts: Vec<(String, f64)>,
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    /// The text is no baseline.
    pub fn parse(text: &str) -> Result<Baseline, BadBaseline> {
        let mut toolchain = None;
        let mut counts = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            if let Some(said) = line.strip_prefix(BUILT_WITH) {
                toolchain = Some(said.trim().to_owned());
                continue;
            }
            counts.push(count(line).ok_or(BadBaseline::BadLine(index + 1))?);
        }
        Ok(Baseline {
            toolchain: toolchain.ok_or(BadBaseline::NoToolchain)?,
            counts,
        })
    }

    /// The text of a baseline.
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}{BUILT_WITH}{}\n\n", self.toolchain);
        for (name, count) in &self.counts {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<32} {count:>10.1}");
        }
        text
    }

    /// The count of a case.
    pub fn count(&self, name: &str) -> Option<f64> {
        let found = self.counts.iter().find(|(known, _)| known == name);
        found.map(|(_, count)| *count)
    }

    /// Cases that are no longer measured.
    pub fn gone<'a>(&'a self, measured: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.counts
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !measured.contains(name))
    }
}

fn count(line: &str) -> Option<(String, f64)> {
    let mut words = line.split_whitespace();
    let (name, count) = (words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let count = count.parse().ok().filter(|count: &f64| count.is_finite())?;
    Some((name.to_owned(), count))
}

/// How a count compares with the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As before.
    Same,
    /// So much less that the baseline should say so.
    Better,
    /// More than admitted.
    Worse,
    /// The baseline does not know this case.
    New,
}

impl Verdict {
    /// Compares a count with the baseline's, which it may exceed by `tolerance`, a part of it.
    pub fn of(count: f64, baseline: Option<f64>, tolerance: f64) -> Verdict {
        let Some(baseline) = baseline else {
            return Verdict::New;
        };
        if count > baseline + (baseline * tolerance).max(SLACK) {
            Verdict::Worse
        } else if count < baseline * MUCH_BETTER - SLACK {
            Verdict::Better
        } else {
            Verdict::Same
        }
    }

    /// The check must fail.
    pub fn fails(self) -> bool {
        matches!(self, Verdict::Worse | Verdict::New)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline() -> Baseline {
        Baseline {
            toolchain: "rustc 1.2.3, valgrind-3.19".to_owned(),
            counts: vec![("a/one".to_owned(), 100.0), ("a/two".to_owned(), 20.5)],
        }
    }

    #[test]
    fn text_and_back() {
        assert_eq!(Baseline::parse(&baseline().text()), Ok(baseline()));
    }

    #[test]
    fn refuses_what_is_no_baseline() {
        assert_eq!(Baseline::parse("a 1\n"), Err(BadBaseline::NoToolchain));
        for line in ["a", "a b", "a 1 2", "a NaN"] {
            let text = format!("built with: x\n{line}\n");
            assert_eq!(
                Baseline::parse(&text),
                Err(BadBaseline::BadLine(2)),
                "{line}"
            );
        }
    }

    #[test]
    fn tells_more_from_less() {
        let of = |count| Verdict::of(count, Some(100.0), 0.02);
        assert_eq!(of(100.0), Verdict::Same);
        assert_eq!(of(102.0), Verdict::Same);
        assert_eq!(of(102.1), Verdict::Worse);
        assert_eq!(of(95.0), Verdict::Same);
        assert_eq!(of(94.0), Verdict::Better);
        assert_eq!(Verdict::of(3.4, Some(3.0), 0.02), Verdict::Same);
        assert_eq!(Verdict::of(3.6, Some(3.0), 0.02), Verdict::Worse);
        assert_eq!(Verdict::of(1.0, None, 0.02), Verdict::New);
    }

    #[test]
    fn finds_cases_that_are_gone() {
        let baseline = baseline();
        assert_eq!(baseline.gone(&["a/two"]).collect::<Vec<_>>(), ["a/one"]);
        assert_eq!(baseline.count("a/two"), Some(20.5));
    }
}
