//! DER, as far as certificates and keys need it: elements one after the other, lengths checked, nothing copied in reading.

/// Tags of the universal class that certificates use.
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL.
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER.
    pub const OBJECT_IDENTIFIER: u8 = 0x06;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    /// UTCTime.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// SEQUENCE.
    pub const SEQUENCE: u8 = 0x30;

    /// `[number]` that holds other elements.
    pub const fn explicit(number: u8) -> u8 {
        0xa0 | number
    }

    /// `[number]` in place of a primitive type's own tag.
    pub const fn implicit(number: u8) -> u8 {
        0x80 | number
    }
}

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its identifier octet.
    pub tag: u8,
    /// What it holds.
    pub content: &'a [u8],
    /// The element with its tag and length.
    pub whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// The elements inside.
    pub fn inside(self) -> Reader<'a> {
        Reader(self.content)
    }

    /// The bits of a BIT STRING without unused ones.
    pub fn bits(self) -> Option<&'a [u8]> {
        match self.content.split_first() {
            Some((0, bits)) if self.tag == tag::BIT_STRING => Some(bits),
            _ => None,
        }
    }
}

/// Reads elements one after the other. `None` stands for bytes that are not DER, or not what was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn peek(self) -> Option<Element<'a>> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk::<2>()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            // Nothing in a certificate is longer than 4 GiB; longer tags and indefinite lengths are no DER of certificates.
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let (bytes, after) = rest.split_at_checked(count)?;
            rest = after;
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len() - after.len())?;
        (tag & 0x1f != 0x1f).then_some(Element { tag, content, whole })
    }

    /// The next element.
    pub fn any(&mut self) -> Option<Element<'a>> {
        let element = self.peek()?;
        self.0 = self.0.get(element.whole.len()..)?;
        Some(element)
    }

    /// The next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Option<Element<'a>> {
        self.peek().filter(|element| element.tag == tag)?;
        self.any()
    }

    /// The next element if it has this tag.
    pub fn optional(&mut self, tag: u8) -> Option<Element<'a>> {
        self.expect(tag)
    }

    /// The elements up to the end, or to the first one that is not DER.
    pub fn all(mut self) -> Vec<Element<'a>> {
        std::iter::from_fn(|| self.any()).collect()
    }
}

/// An element with this tag and content.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = length.iter().position(|byte| *byte != 0).and_then(|first| length.get(first..)).unwrap_or(&[0]);
    let head = match length {
        [short] if *short < 0x80 => vec![tag, *short],
        long => [&[tag, 0x80 | u8::try_from(long.len()).unwrap_or_default()], long].concat(),
    };
    [head.as_slice(), content].concat()
}

/// An OBJECT IDENTIFIER's content as dotted numbers.
pub fn dotted(content: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number = 0_u64;
    for byte in content {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.extend([first, number - first * 40]);
            } else {
                numbers.push(number);
            }
            number = 0;
        }
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_in_turn() {
        let mut reader = Reader::new(&[0x30, 0x03, 0x02, 0x01, 0x05, 0x04, 0x00]);
        let mut inside = reader.expect(tag::SEQUENCE).unwrap().inside();
        assert_eq!(inside.optional(tag::BOOLEAN), None);
        assert_eq!(inside.expect(tag::INTEGER).unwrap().content, [5]);
        assert!(inside.is_empty());
        assert_eq!(reader.any().unwrap().whole, [0x04, 0x00]);
        assert_eq!(reader.any(), None);
    }

    #[test]
    fn long_lengths_and_wrong_ones() {
        let mut long = vec![0x04, 0x82, 0x01, 0x00];
        long.extend([7; 256]);
        assert_eq!(Reader::new(&long).any().unwrap().content.len(), 256);
        for wrong in [
            &[0x04][..],
            &[0x04, 0x02, 0x00],
            &[0x04, 0x80],
            &[0x04, 0x85, 0, 0, 0, 0, 0],
            &[0x1f, 0x00],
            &[0x04, 0x84, 255, 255, 255, 255],
        ] {
            assert_eq!(Reader::new(wrong).any(), None, "{wrong:x?}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            assert_eq!(Reader::new(&element(tag::OCTET_STRING, &content)).expect(tag::OCTET_STRING).unwrap().content, content);
        }
    }

    #[test]
    fn object_identifiers_are_dotted() {
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b]), "1.2.840.113549.1.1.11");
        assert_eq!(dotted(&[0x55, 0x1d, 0x11]), "2.5.29.17");
        assert_eq!(dotted(&[]), "");
    }
}
