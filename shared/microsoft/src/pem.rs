//! Mends PEM text that went through a form, an environment variable or a careless copy.
//!
//! Line breaks turn into spaces, or into the two characters `\n`. The base64 between the markers does not care: each
//! block is cut out, freed of white space and written anew in lines of 64 characters.

/// The blocks of a PEM text, mended, in their order.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let unescaped = text.replace("\\r", "\n").replace("\\n", "\n");
    let mut found = Vec::new();
    let mut rest = unescaped.as_str();
    while let Some((label, body, after)) = next_block(rest) {
        found.push(Block {
            label: label.to_owned(),
            base64: body.chars().filter(|c| !c.is_whitespace()).collect(),
        });
        rest = after;
    }
    found
}

/// One block: what it says it is, and its content. Has no `Debug`: it may be a private key.
pub(crate) struct Block {
    /// For example `CERTIFICATE`.
    pub(crate) label: String,
    base64: String,
}

impl Block {
    /// The block as PEM text with its line breaks in place.
    pub(crate) fn to_pem(&self) -> String {
        let mut pem = format!("-----BEGIN {}-----\n", self.label);
        for (index, character) in self.base64.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str(&format!("\n-----END {}-----\n", self.label));
        pem
    }
}

fn next_block(text: &str) -> Option<(&str, &str, &str)> {
    let (_, after_begin) = text.split_once("-----BEGIN ")?;
    let (label, after_label) = after_begin.split_once("-----")?;
    let (body, after_body) = after_label.split_once("-----END ")?;
    let (_, after_end) = after_body.split_once("-----")?;
    Some((label, body, after_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_line_breaks_are_mended() {
        let line = "A".repeat(64);
        let intact = format!("-----BEGIN CERTIFICATE-----\n{line}\nBBBB\n-----END CERTIFICATE-----\n");
        let table = [
            intact.clone(),
            intact.replace('\n', " "),
            intact.replace('\n', "\\n"),
            intact.replace('\n', "\\r\\n"),
            intact.replace('\n', "\r\n"),
            intact.replace('\n', ""),
            format!("Bag Attributes\n  friendlyName: x\n{intact}"),
        ];
        for text in table {
            let mended = blocks(&text);
            assert_eq!(mended.len(), 1, "{text}");
            assert_eq!(mended[0].to_pem(), intact, "{text}");
        }
    }

    #[test]
    fn several_blocks_keep_their_order_and_an_open_end_is_no_block() {
        let text = "-----BEGIN A-----\nAA==\n-----END A----- -----BEGIN B----- BB== -----END B----------BEGIN C-----";
        let labels: Vec<String> = blocks(text).into_iter().map(|block| block.label).collect();
        assert_eq!(labels, ["A", "B"]);
        assert!(blocks("no markers").is_empty());
    }
}
