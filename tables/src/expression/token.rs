//! Tokens of expressions.

/// One token, borrowed from the expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A key word, the name of a function, or of an attribute.
    Word(&'a str),
    /// `#name`, with its `#`.
    NameReference(&'a str),
    /// `:value`, with its `:`.
    ValueReference(&'a str),
    /// `=  <>  <  <=  >  >=  (  )  ,  +  -  .  [  ]`
    Symbol(&'a str),
    /// A number, which stands in paths alone.
    Number(&'a str),
    /// A character that begins no token.
    Other(&'a str),
    /// Behind the last token.
    End,
}

impl<'a> Token<'a> {
    /// The text in messages.
    pub(crate) fn text(self) -> &'a str {
        match self {
            Self::Word(text)
            | Self::NameReference(text)
            | Self::ValueReference(text)
            | Self::Symbol(text)
            | Self::Number(text)
            | Self::Other(text) => text,
            Self::End => "<EOF>",
        }
    }

    /// True for a key word in any case.
    pub(crate) fn is_word(self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }
}

/// Splits an expression into tokens, each with its place.
pub(crate) fn tokens(text: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let token = next(&text[at..], first);
        tokens.push((at, token));
        at += token.text().len();
    }
    tokens
}

fn next(rest: &str, first: char) -> Token<'_> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let word = |from: usize| {
        let length = rest[from..].find(|character| !is_part(character)).unwrap_or(rest.len() - from);
        &rest[..from + length]
    };
    match first {
        '#' | ':' => match word(1) {
            text if text.len() == 1 => Token::Other(text),
            text if first == '#' => Token::NameReference(text),
            text => Token::ValueReference(text),
        },
        '0'..='9' => {
            let length = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
            Token::Number(&rest[..length])
        }
        _ if is_part(first) => Token::Word(word(0)),
        '<' if rest.starts_with("<>") || rest.starts_with("<=") => Token::Symbol(&rest[..2]),
        '>' if rest.starts_with(">=") => Token::Symbol(&rest[..2]),
        '=' | '<' | '>' | '(' | ')' | ',' | '+' | '-' | '.' | '[' | ']' => Token::Symbol(&rest[..1]),
        _ => Token::Other(&rest[..first.len_utf8()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split() {
        let found: Vec<_> = tokens("#a<>:b AND(x<=:c_1)é#").into_iter().map(|(_, token)| token).collect();
        let expected = [
            Token::NameReference("#a"),
            Token::Symbol("<>"),
            Token::ValueReference(":b"),
            Token::Word("AND"),
            Token::Symbol("("),
            Token::Word("x"),
            Token::Symbol("<="),
            Token::ValueReference(":c_1"),
            Token::Symbol(")"),
            Token::Other("é"),
            Token::Other("#"),
        ];
        assert_eq!(found, expected);
    }
}
