//! The modules and crates that a file of Rust code names, read from its tokens: comments and strings do not count, code
//! for tests does.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Paths behind `crate::`, and behind as many `super::` as lead there, and `CRATE::` for every other path, `std::PART`
/// for paths of std.
pub struct Imports {
    /// The first two names of each path, joined by `::`, or the only one.
    pub of_crate: BTreeSet<String>,
    /// First names of all paths, which are crates, modules or types, and two names of those of std.
    pub of_others: BTreeSet<String>,
}

impl Imports {
    /// The imports of the code of a module; `module` names it and the modules around it, from the crate's root.
    ///
    /// # Panics
    /// When the code has no tokens of Rust.
    pub fn of(code: &str, module: &[&str]) -> Self {
        let tokens: TokenStream = code.parse().expect("Rust");
        let mut imports = Self { of_crate: BTreeSet::new(), of_others: BTreeSet::new() };
        let module: Vec<String> = module.iter().map(|name| (*name).to_owned()).collect();
        imports.walk(&tokens.into_iter().collect::<Vec<_>>(), &module);
        imports
    }

    fn walk(&mut self, tokens: &[TokenTree], module: &[String]) {
        let mut at = 0;
        while at < tokens.len() {
            let rest = &tokens[at..];
            if let [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body), ..] = rest
                && *word == "mod"
                && body.delimiter() == Delimiter::Brace
            {
                let inner = [module, &[name.to_string()]].concat();
                self.walk(&body.stream().into_iter().collect::<Vec<_>>(), &inner);
                at += 3;
                continue;
            }
            match &rest[0] {
                TokenTree::Group(group) => {
                    self.walk(&group.stream().into_iter().collect::<Vec<_>>(), module);
                }
                TokenTree::Ident(word) if is_path_start(tokens, at) => {
                    if let Some(path) = after_colons(&rest[1..]) {
                        match word.to_string().as_str() {
                            "crate" => self.resolve(path, &[]),
                            "super" => self.resolve(path, parent(module)),
                            "self" => self.resolve(path, module),
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

    /// Notes the first two names of a path that goes on from the module `from`.
    fn resolve(&mut self, path: &[TokenTree], from: &[String]) {
        match path.first() {
            Some(TokenTree::Ident(name)) if *name == "self" || *name == "super" => {
                let from = if *name == "super" { parent(from) } else { from };
                match after_colons(&path[1..]) {
                    Some(path) => self.resolve(path, from),
                    None => self.note(from),
                }
            }
            Some(TokenTree::Ident(name)) => {
                let from = [from, &[name.to_string()]].concat();
                match after_colons(&path[1..]) {
                    Some(path) if from.len() < 2 => self.resolve(path, &from),
                    _ => self.note(&from),
                }
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let tokens: Vec<_> = group.stream().into_iter().collect();
                for path in tokens.split(|token| is_punct(token, ',')) {
                    self.resolve(path, from);
                }
            }
            Some(TokenTree::Punct(star)) if star.as_char() == '*' && from.is_empty() => {
                self.of_crate.insert("*".to_owned());
            }
            Some(TokenTree::Punct(star)) if star.as_char() == '*' => self.note(from),
            _ => {}
        }
    }

    fn note(&mut self, path: &[String]) {
        if !path.is_empty() {
            self.of_crate.insert(path[..path.len().min(2)].join("::"));
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

/// The module around a module.
fn parent(module: &[String]) -> &[String] {
    module.split_last().map_or(&[], |(_, parent)| parent)
}

/// Returns the tokens behind `::`, if the tokens begin with it.
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
