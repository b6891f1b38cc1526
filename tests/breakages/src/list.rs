//! The list of breakages.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// Where a test is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Its package.
    pub package: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// In the library.
    Lib,
    /// In the library, with the models of the rings.
    Loom,
    /// In an integration test.
    Test(String),
    /// Programs that a goal of the Makefile runs.
    Make(String),
}

/// Who notices.
#[derive(Clone, Debug)]
pub struct Catcher {
    pub target: Target,
    /// Names of the tests, of their modules, or of the programs; none: all.
    pub tests: Vec<String>,
}

/// One line of the engine, changed or left out, and who notices.
#[derive(Clone, Debug)]
pub struct Breakage {
    pub name: String,
    /// What is wrong then.
    pub what: String,
    /// Below the repository.
    pub file: String,
    /// Text of a line above it, from which on the line is looked for.
    after: Option<String>,
    /// The line without its indentation.
    right: String,
    /// What takes its place; `None`: nothing.
    wrong: Option<String>,
    /// Each of them notices by itself.
    pub catchers: Vec<Catcher>,
}

impl FromStr for Catcher {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Catcher> {
        let mut words = text.split_whitespace();
        let package = words.next().context("no package")?.to_owned();
        let name = words.next().context("no target")?.to_owned();
        let kind = match (package.as_str(), name.as_str()) {
            ("make", _) => Kind::Make(name),
            (_, "lib") => Kind::Lib,
            (_, "loom") => Kind::Loom,
            _ => Kind::Test(name),
        };
        Ok(Catcher {
            target: Target { package, kind },
            tests: words.map(str::to_owned).collect(),
        })
    }
}

impl Breakage {
    /// The file's text with the breakage.
    ///
    /// # Errors
    /// When the line is not there, or there twice.
    pub fn applied(&self, root: &Path) -> Result<String> {
        let text = std::fs::read_to_string(root.join(&self.file))
            .with_context(|| format!("{}: {}", self.name, self.file))?;
        self.apply(&text)
            .with_context(|| format!("{} does not apply to {} any more", self.name, self.file))
    }

    fn apply(&self, text: &str) -> Result<String> {
        let lines: Vec<&str> = text.lines().collect();
        let begin = match &self.after {
            Some(after) => lines.iter().position(|line| line.contains(after.as_str())),
            None => Some(0),
        };
        let begin = begin.context("the line above is not there")?;
        let mut places = (begin..lines.len()).filter(|at| lines[*at].trim() == self.right);
        let place = places.next().context("the line is not there")?;
        ensure!(
            self.after.is_some() || places.next().is_none(),
            "the line is there more than once"
        );
        let mut broken = String::with_capacity(text.len() + 100);
        for (at, line) in lines.iter().enumerate() {
            let line = match (at == place, &self.wrong) {
                (true, Some(wrong)) => wrong,
                (true, None) => continue,
                (false, _) => *line,
            };
            broken += line;
            broken.push('\n');
        }
        Ok(broken)
    }
}

/// Parses the list, whose first lines say how.
///
/// # Errors
/// When a breakage is incomplete or its name is used twice.
pub fn parse(text: &str) -> Result<Vec<Breakage>> {
    let mut breakages: Vec<Breakage> = Vec::new();
    for block in text.split("\n\n") {
        let lines = block.lines().filter(|line| !line.starts_with('#'));
        let lines: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
        if lines.is_empty() {
            continue;
        }
        let breakage = parse_one(&lines).with_context(|| block.to_owned())?;
        ensure!(
            breakages.iter().all(|other| other.name != breakage.name),
            "two breakages are called {}",
            breakage.name
        );
        breakages.push(breakage);
    }
    Ok(breakages)
}

fn parse_one(lines: &[&str]) -> Result<Breakage> {
    let mut fields: [Option<&str>; 4] = [None; 4];
    let mut what = String::new();
    let mut catchers = Vec::new();
    for line in lines {
        let (kind, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        let index = match kind.trim() {
            "=" => 0,
            "@" => 1,
            "-" => 2,
            "+" => 3,
            "?" => {
                catchers.push(rest.parse()?);
                continue;
            }
            "" => {
                what = format!("{what} {}", rest.trim()).trim_start().to_owned();
                continue;
            }
            _ => bail!("what is '{line}'?"),
        };
        ensure!(fields[index].replace(rest).is_none(), "twice: '{line}'");
    }
    let [name, place, right, wrong] = fields;
    let place = place.context("no file")?;
    let (file, after) = match place.split_once(": ") {
        Some((file, after)) => (file, Some(after.to_owned())),
        None => (place, None),
    };
    ensure!(!what.is_empty(), "no description");
    ensure!(!catchers.is_empty(), "no test");
    Ok(Breakage {
        name: name.context("no name")?.to_owned(),
        what,
        file: file.to_owned(),
        after,
        right: right.context("no line")?.trim().to_owned(),
        wrong: wrong.map(str::to_owned),
        catchers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# How.\n\n= less\n  Less is more.\n@ a.rs: fn second\n- x < 1\n+ x <= 1\n? \
                        tas lib proto::less\n";

    #[test]
    fn the_line_after_the_line_above_is_replaced() {
        let list = parse(LIST).unwrap();
        let text = "fn first\n  x < 1\nfn second\n  x < 1\n  x < 1\n";
        let broken = list[0].apply(text).unwrap();
        assert_eq!(broken, "fn first\n  x < 1\nfn second\nx <= 1\n  x < 1\n");
        assert!(list[0].apply("fn second\n  x > 1\n").is_err());
    }

    #[test]
    fn without_a_line_above_the_line_is_unique() {
        let list = parse(&LIST.replace(": fn second", "").replace("+ x <= 1\n", "")).unwrap();
        assert_eq!(list[0].apply("y\nx < 1\n").unwrap(), "y\n");
        assert!(list[0].apply("x < 1\nx < 1\n").is_err());
    }

    #[test]
    fn several_may_notice() {
        let list = parse(&format!("{LIST}? make check-c data ends\n")).unwrap();
        let [unit, programs] = &list[0].catchers[..] else {
            unreachable!()
        };
        assert_eq!((&unit.target.kind, unit.tests.len()), (&Kind::Lib, 1));
        assert_eq!(programs.target.kind, Kind::Make("check-c".into()));
        assert_eq!(programs.tests, ["data", "ends"]);
        assert!(parse(&LIST.replace("? tas lib proto::less\n", "")).is_err());
    }

    #[test]
    fn names_are_unique() {
        assert!(parse(&format!("{LIST}\n{LIST}")).is_err());
    }
}
