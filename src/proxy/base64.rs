//! Base64 (RFC 4648, section 4), of bodies that arrive in pieces too. As gRPC-Web has it, padding may come in the middle,
//! where what was encoded for itself ends.

use bytes::Bytes;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The body is no base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not base64")]
pub(super) struct Malformed;

/// Decodes piece by piece.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Bits of letters that are no whole group yet.
    bits: u32,
    letters: u8,
    padding: u8,
}

impl Decoder {
    /// The bytes of all groups that have arrived whole.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Bytes, Malformed> {
        let mut out = Vec::with_capacity(piece.len() / 4 * 3 + 3);
        for byte in piece {
            self.letter(*byte)?;
            if self.letters + self.padding == 4 {
                let [_, group @ ..] = self.bits.to_be_bytes();
                let length = usize::from(self.letters) * 6 / 8;
                out.extend_from_slice(&group[..length]);
                *self = Self::default();
            }
        }
        Ok(out.into())
    }

    /// Fails when a group is not whole.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.letters + self.padding == 0 {
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    fn letter(&mut self, byte: u8) -> Result<(), Malformed> {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if self.letters >= 2 => {
                self.padding += 1;
                return Ok(());
            }
            _ => return Err(Malformed),
        };
        if self.padding > 0 {
            return Err(Malformed);
        }
        self.bits |= u32::from(value) << (18 - 6 * self.letters);
        self.letters += 1;
        Ok(())
    }
}

/// The bytes as letters, with padding.
pub(super) fn encoded(bytes: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for letter in 0..4 {
            if letter <= group.len() {
                let value = bits >> (18 - 6 * letter) & 63;
                out.push(ALPHABET[value as usize]);
            } else {
                out.push(b'=');
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_in_pieces_of_every_length() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..=bytes.len() {
            let text = encoded(&bytes[..length]);
            for piece in [1, 3, 4, 7, 1000] {
                let mut decoder = Decoder::default();
                let pieces = text.chunks(piece).map(|piece| decoder.take(piece).unwrap());
                let found: Vec<_> = pieces.flatten().collect();
                assert_eq!(found, bytes[..length], "{length} {piece}");
                assert_eq!(decoder.end(), Ok(()));
            }
        }
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(encoded(plain.as_bytes()), text);
        }
    }

    #[test]
    fn padding_ends_a_group_and_not_the_body() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.take(b"Zg==Zm8=Zm9v").unwrap(), "ffofoo");
        assert_eq!(decoder.end(), Ok(()));
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for text in [
            "Z", "Zg", "Zg=", "Z===", "====", "Zg=v", "Zm9v\n", "Zm-_", "Zg===", "Zg===",
        ] {
            let mut decoder = Decoder::default();
            let result = decoder.take(text.as_bytes()).and_then(|_| decoder.end());
            assert_eq!(result, Err(Malformed), "{text}");
        }
    }
}
