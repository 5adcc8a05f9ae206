//! Geometry and order.

/// Section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Geo {
    pub shift: u8,
    pub k: u8,
    pub ma: u8,
    pub mb: u8,
    /// 0 none, 1 mirrored, 2 coded.
    pub copy_b: u8,
}

pub const STANDARD: Geo = Geo {
    shift: 9,
    k: 223,
    ma: 16,
    mb: 16,
    copy_b: 1,
};
pub const CODED: Geo = Geo {
    shift: 9,
    k: 119,
    ma: 8,
    mb: 128,
    copy_b: 2,
};
pub const LIGHT: Geo = Geo {
    shift: 9,
    k: 223,
    ma: 32,
    mb: 0,
    copy_b: 0,
};
/// The geometry of the worked example of section 28.
pub const TINY: Geo = Geo {
    shift: 9,
    k: 3,
    ma: 2,
    mb: 2,
    copy_b: 1,
};
pub const TINY_CODED: Geo = Geo {
    shift: 9,
    k: 3,
    ma: 2,
    mb: 4,
    copy_b: 2,
};
pub const TINY_LIGHT: Geo = Geo {
    shift: 9,
    k: 3,
    ma: 3,
    mb: 0,
    copy_b: 0,
};
/// One data sector a block, so that few blocks need several table blocks.
pub const SINGLE: Geo = Geo {
    shift: 9,
    k: 1,
    ma: 1,
    mb: 1,
    copy_b: 1,
};

impl Geo {
    pub fn with_shift(self, shift: u8) -> Self {
        Geo { shift, ..self }
    }
    pub fn size(&self) -> usize {
        1 << self.shift
    }
    /// P
    pub fn p(&self) -> usize {
        self.size() - 48
    }
    /// C
    pub fn c(&self) -> usize {
        usize::from(self.k) * self.p() - 32
    }
    /// E
    pub fn e(&self) -> usize {
        (usize::from(self.k) * self.p() - 64) / 33
    }
    /// R
    pub fn r(&self) -> usize {
        self.p().min(768)
    }
    /// Parity sectors of a block with `k` data sectors, of `m` (section 5).
    pub fn m(&self, m: u8, k: u8) -> u8 {
        let base = m.min(8);
        base + (usize::from(m - base) * usize::from(k) / usize::from(self.k)) as u8
    }
    pub fn parity_a(&self, k: u8) -> Vec<u8> {
        (0..self.m(self.ma, k)).map(|i| self.k + 1 + i).collect()
    }
    pub fn parity_b(&self, k: u8) -> Vec<u8> {
        (0..self.m(self.mb, k))
            .map(|i| self.k + self.ma + 1 + i)
            .collect()
    }
    /// The slots of copy A (0) or B (1), in the order of the file.
    pub fn slots(&self, copy: usize, k: u8) -> Vec<u8> {
        let mut slots = vec![0];
        match (copy, self.copy_b) {
            (0, _) => {
                slots.extend(1..=k);
                slots.extend(self.parity_a(k));
            }
            (_, 0) => slots.clear(),
            (_, 1) => {
                slots.extend(1..=k);
                slots.extend(self.parity_b(k));
            }
            _ => slots.extend(self.parity_b(k)),
        }
        slots
    }
    /// Slots of a block but for the header page, each once.
    pub fn distinct(&self, k: u8) -> Vec<u8> {
        (1..=k)
            .chain(self.parity_a(k))
            .chain(self.parity_b(k))
            .collect()
    }
}

/// Section 14.4: X and T, if N is legal.
pub fn split(geo: &Geo, n: u64) -> Option<(u64, u64)> {
    let e = geo.e() as u64;
    let t = n.div_ceil(e + 1);
    let x = n.checked_sub(t)?;
    (x >= 1 && x.div_ceil(e) == t && t < 1 << 32).then_some((x, t))
}

/// Section 15: the copies of the blocks in the order of the file, (copy, block).
pub fn walk(geo: &Geo, lag: u64, n: u64) -> Vec<(usize, u64)> {
    let mut order = Vec::new();
    if geo.copy_b == 0 {
        order.extend((0..n).map(|b| (0, b)));
    } else if lag == 0 {
        order.extend((0..n).map(|b| (0, b)));
        order.extend((0..n).map(|b| (1, b)));
    } else {
        for i in 0..n.saturating_add(lag.min(n)) {
            if i < n {
                order.push((0, i));
            }
            if i >= lag.min(n) && i - lag.min(n) < n {
                order.push((1, i - lag.min(n)));
            }
        }
    }
    order
}
