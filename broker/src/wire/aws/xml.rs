//! XML of the query protocol.

use std::fmt::Write;

use super::known::Service;

/// The text with everything escaped that has a meaning in XML. Characters that XML has no form for become U+FFFD.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                write!(out, "&#{};", u32::from(character)).expect("writing to memory cannot fail");
            }
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// An error of the query protocol.
pub(super) fn error(
    service: Option<&Service>,
    (is_sender, code): (bool, &str),
    message: &str,
    request_id: &str,
) -> String {
    let kind = if is_sender { "Sender" } else { "Receiver" };
    let (code, message) = (escaped(code), escaped(message));
    let namespace = service.map_or("", |service| service.namespace);
    let xmlns = if namespace.is_empty() { String::new() } else { format!(" xmlns=\"{namespace}\"") };
    format!(
        "<ErrorResponse{xmlns}>\n  <Error>\n    <Type>{kind}</Type>\n    <Code>{code}</Code>\n    \
         <Message>{message}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n"
    )
}

/// An error as S3 writes it.
pub(super) fn plain_error(code: &str, message: &str, request_id: &str) -> String {
    let (code, message) = (escaped(code), escaped(message));
    format!(
        "<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId></Error>\n"
    )
}

/// The answer to an action of a service that has nothing to say.
pub(super) fn empty(action: &str, service: &Service, request_id: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{}\">\n  <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  \
         </ResponseMetadata>\n</{action}Response>\n",
        service.namespace
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(escaped("<a b=\"&\">\n\u{1}é"), "&lt;a b=&quot;&amp;&quot;&gt;&#10;\u{fffd}é");
    }
}
