//! The modules and crates that a file of Rust code names, read from its tokens: comments and strings do not count, code
//! for tests does.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The names behind `crate::`, and behind as many `super::` as lead there, and `CRATE::` for every other path, `std::PART`
/// for those of std. `depth` is how many modules the file is below the crate's root: 1 for `ops/mod.rs`, 2 for
/// `ops/rate.rs`.
pub struct Imports {
    /// Modules and other names at the root of the crate.
    pub of_crate: BTreeSet<String>,
    /// First names of all paths, which are crates, modules or types, and two names of those of std.
    pub of_others: BTreeSet<String>,
}

impl Imports {
    /// The imports of that code.
    ///
    /// # Panics
    /// When the code has no tokens of Rust.
    pub fn of(code: &str, depth: usize) -> Self {
        let tokens: TokenStream = code.parse().expect("Rust");
        let mut imports = Self { of_crate: BTreeSet::new(), of_others: BTreeSet::new() };
        imports.walk(&tokens.into_iter().collect::<Vec<_>>(), depth);
        imports
    }

    fn walk(&mut self, tokens: &[TokenTree], depth: usize) {
        let mut at = 0;
        while at < tokens.len() {
            let rest = &tokens[at..];
            if let [TokenTree::Ident(word), TokenTree::Ident(_), TokenTree::Group(body), ..] = rest
                && *word == "mod"
                && body.delimiter() == Delimiter::Brace
            {
                self.walk(&body.stream().into_iter().collect::<Vec<_>>(), depth + 1);
                at += 3;
                continue;
            }
            match &rest[0] {
                TokenTree::Group(group) => {
                    self.walk(&group.stream().into_iter().collect::<Vec<_>>(), depth);
                }
                TokenTree::Ident(word) if is_path_start(tokens, at) => {
                    if let Some(path) = after_colons(&rest[1..]) {
                        match word.to_string().as_str() {
                            "crate" => self.heads(path, 0),
                            "super" => self.heads(path, depth - 1),
                            "self" => self.heads(path, depth),
                            "std" | "core" | "alloc" => self.parts_of_std(path),
                            other => _ = self.of_others.insert(other.to_owned()),
                        }
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    /// Notes what a path names at the crate's root. `level` is how many modules below the root the path has led to.
    fn heads(&mut self, path: &[TokenTree], level: usize) {
        match path.first() {
            Some(TokenTree::Ident(name)) if *name == "self" || *name == "super" => {
                let level = if *name == "super" { level.saturating_sub(1) } else { level };
                if let Some(path) = after_colons(&path[1..]) {
                    self.heads(path, level);
                }
            }
            Some(TokenTree::Ident(name)) if level == 0 => _ = self.of_crate.insert(name.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let tokens: Vec<_> = group.stream().into_iter().collect();
                for path in tokens.split(|token| is_punct(token, ',')) {
                    self.heads(path, level);
                }
            }
            Some(TokenTree::Punct(star)) if star.as_char() == '*' && level == 0 => {
                self.of_crate.insert("*".to_owned());
            }
            _ => {}
        }
    }

    fn parts_of_std(&mut self, path: &[TokenTree]) {
        match path.first() {
            Some(TokenTree::Ident(name)) => _ = self.of_others.insert(format!("std::{name}")),
            Some(TokenTree::Group(group)) => {
                let tokens: Vec<_> = group.stream().into_iter().collect();
                for path in tokens.split(|token| is_punct(token, ',')) {
                    self.parts_of_std(path);
                }
            }
            _ => {}
        }
    }
}

/// What stands behind `::`, if that is where the tokens begin.
fn after_colons(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    match tokens {
        [first, second, path @ ..] if is_punct(first, ':') && is_punct(second, ':') => Some(path),
        _ => None,
    }
}

/// Whether no `::` stands before the token, except one that begins a path.
fn is_path_start(tokens: &[TokenTree], at: usize) -> bool {
    let is_colon = |back: usize| at >= back && is_punct(&tokens[at - back], ':');
    let is_continued =
        at >= 3 && (matches!(&tokens[at - 3], TokenTree::Ident(_)) || is_punct(&tokens[at - 3], '>'));
    !(is_colon(1) && is_colon(2) && is_continued)
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}
