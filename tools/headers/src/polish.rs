//! What cbindgen's output still needs: documentation without Rust's links and
//! headings, and the patches of a header.

use std::collections::HashMap;

/// Returns the finished text of a header. `names` gives the C name of a Rust
/// type.
pub fn polish(
    text: &str,
    names: &HashMap<String, String>,
    patches: &[(&str, &str)],
) -> Result<String, String> {
    let text = patches.iter().try_fold(text.to_string(), patch)?;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let comment = line.trim_start().starts_with('*');
        match (line.trim(), lines.last_mut()) {
            ("* # Safety", _) => {}
            ("", Some(last)) if last.is_empty() => {}
            ("*/", Some(last)) if last.trim() == "*" => *last = line.to_string(),
            _ if comment => lines.push(plain_names(line, names)),
            _ => lines.push(line.to_string()),
        }
    }
    Ok(join_short_comments(&lines))
}

/// Puts comments of one line on one line.
fn join_short_comments(lines: &[String]) -> String {
    let mut joined = String::new();
    let mut rest = lines;
    while let [line, tail @ ..] = rest {
        rest = tail;
        joined += line;
        if let [text, end, after @ ..] = tail
            && line.trim() == "/**"
            && end.trim() == "*/"
            && let Some(text) = text.trim().strip_prefix("* ")
        {
            joined += &format!(" {text} */");
            rest = after;
        }
        joined.push('\n');
    }
    joined
}

fn patch(text: String, (from, to): &(&str, &str)) -> Result<String, String> {
    match text.matches(from).count() {
        1 => Ok(text.replace(from, to)),
        n => Err(format!("{from:?} occurs {n} times, not once")),
    }
}

/// Turns Rust's links into quoted names, and quoted names into the C names.
fn plain_names(line: &str, names: &HashMap<String, String>) -> String {
    let mut plain = String::new();
    for (i, part) in line
        .replace("[`", "`")
        .replace("`]", "`")
        .split('`')
        .enumerate()
    {
        let quoted = i % 2 == 1;
        if !quoted {
            plain += part;
            continue;
        }
        let parts = part
            .split("::")
            .map(|p| names.get(p).map_or(p, String::as_str));
        plain += &format!("`{}`", parts.collect::<Vec<_>>().join("."));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> HashMap<String, String> {
        [("PlMem".to_string(), "flextcp_pl_mem".to_string())].into()
    }

    #[test]
    fn documentation_speaks_c() {
        let text =
            " * Index in [`PlMem::appst`] and `x`.\n *\n * # Safety\n * None.\nint a; // `b`";
        assert_eq!(
            polish(text, &names(), &[]).unwrap(),
            " * Index in `flextcp_pl_mem.appst` and `x`.\n *\n * None.\nint a; // `b`\n"
        );
    }

    #[test]
    fn a_patch_that_does_not_apply_is_an_error() {
        assert_eq!(
            polish("aa", &names(), &[("b", "c")]).unwrap_err(),
            "\"b\" occurs 0 times, not once"
        );
        assert!(polish("aa", &names(), &[("a", "c")]).is_err());
        assert_eq!(polish("ab", &names(), &[("a", "c")]).unwrap(), "cb\n");
    }
}
