//! The Rust text that a header is made from.

use std::io;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// Declarations of one or more files.
pub struct Source {
    text: String,
}

impl Source {
    /// Reads files, and all Rust files of directories.
    ///
    /// Without the declarations of modules, which cbindgen would look for in
    /// the wrong places, and without what may stand only at a file's top.
    pub fn read(paths: &[&str]) -> Result<Self, String> {
        let mut text = String::new();
        for path in paths {
            let error = |error: io::Error| format!("{path}: {error}");
            for file in files(Path::new(path)).map_err(error)? {
                for line in fs::read_to_string(file).map_err(error)?.lines() {
                    let top = line.starts_with("//!") || line.starts_with("#![");
                    let module = line.trim_start_matches("pub ").starts_with("mod ");
                    if !(top || module && line.ends_with(';')) {
                        // The same type; C programmers know it by this name.
                        text += &line.replace("-> isize", "-> ssize_t");
                        text.push('\n');
                    }
                }
            }
        }
        Ok(Self { text })
    }

    /// Names of public types.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        let items = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("pub "));
        items.filter_map(|item| {
            let (kind, rest) = item.split_once(' ')?;
            ["struct", "union", "enum"]
                .contains(&kind)
                .then(|| identifier(rest))
        })
    }

    /// Names of constants that are not public.
    pub fn private_constants(&self) -> impl Iterator<Item = &str> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("const ").map(identifier))
    }

    /// Names of C functions.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter_map(|line| {
            let (_, rest) = line.split_once("extern \"C\" fn ")?;
            Some(identifier(rest))
        })
    }

    /// The text as a file, for cbindgen reads nothing else.
    pub fn to_file(&self, name: &str) -> io::Result<TemporaryFile> {
        let path = env::temp_dir().join(format!("tas-headers-{}-{name}.rs", process::id()));
        fs::write(&path, &self.text)?;
        Ok(TemporaryFile(path))
    }
}

/// A file that is removed when this is dropped.
pub struct TemporaryFile(PathBuf);

impl TemporaryFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // Left behind in the worst case, in the directory for such files.
        let _ = fs::remove_file(&self.0);
    }
}

/// The path itself, or the Rust files in the directory it names.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|ext| ext == "rs") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The identifier that `text` starts with.
fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    end.map_or(text, |end| text.split_at(end).0)
}
