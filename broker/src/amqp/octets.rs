//! A reader over octets that ends instead of panicking. Knows AMQP's plain types and nothing above.

pub(crate) struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    #[inline]
    pub fn new(octets: &'a [u8]) -> Self {
        Octets(octets)
    }

    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    #[inline]
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    pub fn octet(&mut self) -> Option<u8> {
        self.array::<1>().map(|[octet]| octet)
    }

    #[inline]
    pub fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub fn long(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub fn longlong(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// The octets of a short string, not yet known to be UTF-8.
    #[inline]
    pub fn short_octets(&mut self) -> Option<&'a [u8]> {
        let length = self.octet()?;
        self.take(usize::from(length))
    }

    #[inline]
    pub fn short_str(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.short_octets()?).ok()
    }

    /// Skips a short string that must be UTF-8. Most are ASCII, which is cheaper to see.
    #[inline]
    pub fn check_short_str(&mut self) -> Option<()> {
        let octets = self.short_octets()?;
        (octets.is_ascii() || std::str::from_utf8(octets).is_ok()).then_some(())
    }

    /// A long string, a table or an array: four length octets and that many more.
    #[inline]
    pub fn long_octets(&mut self) -> Option<&'a [u8]> {
        let length = self.long()?;
        self.take(usize::try_from(length).ok()?)
    }
}
