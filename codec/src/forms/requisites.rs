//! The macros that make a view and a builder of one list of requisites, so that the two can not differ.
//!
//! A row reads `shape name = TAG;`. Shapes: `text`, `texts` (several), `pad` (fixed width, spaces behind), `inn`,
//! `byte`, `bytes` (several), `word`, `long`, `flag` (missing is false), `money`, `quantity`, `time`, `raw`,
//! `code(T)`, `nest(V, B)`, `nests(V, B)`.

/// A view and a builder of one structure or document.
macro_rules! requisites {
    ($(#[$doc:meta])* $View:ident, $Builder:ident {
        $( $(#[$fdoc:meta])* $shape:ident $(($($arg:tt),*))? $name:ident = $tag:ident; )*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $View<'a>(pub(in crate::forms) $crate::forms::level::Level<'a>);

        impl<'a> $View<'a> {
            $( $crate::forms::requisites::get! {
                [$(#[$fdoc])*] $shape $(($($arg),*))? $name $tag
            } )*

            /// All requisites, known or not, in the order of the wire.
            pub fn tags(&self) -> impl Iterator<Item = ($crate::Tag, $crate::Value<'a>)> + use<'a> {
                self.0.tlv().map_while(Result::ok)
            }
        }

        impl core::fmt::Debug for $View<'_> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(stringify!($View))?;
                f.debug_map().entries(self.tags()).finish()
            }
        }

        #[doc = concat!("Makes a [`", stringify!($View), "`]: each method takes what the view's of the same name gives.")]
        ///
        /// Errors are those of `finish` of the document: a value is refused there, with its tag.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[must_use]
        pub struct $Builder(pub(in crate::forms) $crate::forms::draft::Draft);

        impl $Builder {
            $( $crate::forms::requisites::set! {
                [$(#[$fdoc])*] $shape $(($($arg),*))? $name $tag
            } )*
        }

        impl From<$Builder> for $crate::forms::draft::Datum {
            fn from(builder: $Builder) -> Self {
                Self::Nest(builder.0.fields)
            }
        }

        #[cfg(test)]
        impl $crate::forms::tests::Rows for $View<'_> {
            fn every_row_comes_back(version: $crate::FfdVersion, parent: u16) {
                $( $crate::forms::requisites::row! { $View $Builder version parent $shape $(($($arg),*))? $name $tag } )*
            }
        }

        #[cfg(test)]
        impl $crate::forms::tests::dice::Calls for $Builder {
            const ROWS: &'static [$crate::Tag] = &[ $( $crate::tags::$tag ),* ];

            fn of(draft: $crate::forms::draft::Draft) -> Self {
                Self(draft)
            }

            fn draft(&self) -> &$crate::forms::draft::Draft {
                &self.0
            }

            fn call(self, row: usize, dice: &mut $crate::forms::tests::dice::Dice) -> Self {
                let calls: &[fn(Self, &mut $crate::forms::tests::dice::Dice) -> Self] = &[
                    $( |it, dice| it.$name($crate::forms::requisites::roll! { dice $shape $(($($arg),*))? $tag }) ),*
                ];
                (calls.get(row).unwrap())(self, dice)
            }
        }
    };
}

/// The getter of one row.
macro_rules! get {
    ([$($doc:tt)*] text $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<$crate::Cp866<'a>> {
            self.0.one($crate::tags::$tag, &[$crate::Kind::Text]).map(|value| value.text())
        }
    };
    ([$($doc:tt)*] pad $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<$crate::Cp866<'a>> {
            self.0.one($crate::tags::$tag, &[$crate::Kind::Text]).map(|value| value.text().trimmed())
        }
    };
    ([$($doc:tt)*] inn $name:ident $tag:ident) => {
        $crate::forms::requisites::get! { [$($doc)*] pad $name $tag }
    };
    ([$($doc:tt)*] texts $name:ident $tag:ident) => {
        $($doc)*
        pub fn $name(&self) -> impl Iterator<Item = $crate::Cp866<'a>> + use<'a> {
            self.0.all($crate::tags::$tag, &[$crate::Kind::Text]).map(|value| value.text())
        }
    };
    ([$($doc:tt)*] byte $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<u8> {
            self.0.read($crate::tags::$tag, &[$crate::Kind::Byte, $crate::Kind::Bits], |value| value.u8())
        }
    };
    ([$($doc:tt)*] bytes $name:ident $tag:ident) => {
        $($doc)*
        pub fn $name(&self) -> impl Iterator<Item = u8> + use<'a> {
            self.0
                .all($crate::tags::$tag, &[$crate::Kind::Byte, $crate::Kind::Bits])
                .filter_map(|value| value.u8().ok())
        }
    };
    ([$($doc:tt)*] flag $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> bool {
            self.0.read($crate::tags::$tag, &[$crate::Kind::Byte], |value| value.u8()).is_some_and(|flag| flag != 0)
        }
    };
    ([$($doc:tt)*] word $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<u16> {
            self.0.read($crate::tags::$tag, &[$crate::Kind::U16], |value| value.u16())
        }
    };
    ([$($doc:tt)*] long $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<u32> {
            self.0.read($crate::tags::$tag, &[$crate::Kind::U32, $crate::Kind::Bits], |value| value.bits())
        }
    };
    ([$($doc:tt)*] money $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<$crate::Kopecks> {
            self.0.read($crate::tags::$tag, &[$crate::Kind::Vln], |value| value.kopecks())
        }
    };
    ([$($doc:tt)*] number $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<u64> {
            self.0.read($crate::tags::$tag, &[$crate::Kind::Vln], |value| value.vln())
        }
    };
    ([$($doc:tt)*] quantity $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<$crate::Quantity> {
            self.0.read($crate::tags::$tag, &[$crate::Kind::Fvln], |value| value.fvln())
        }
    };
    ([$($doc:tt)*] time $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<$crate::LocalSeconds> {
            self.0.read($crate::tags::$tag, &[$crate::Kind::UnixTime], |value| value.unixtime())
        }
    };
    ([$($doc:tt)*] raw $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<&'a [u8]> {
            self.0.one($crate::tags::$tag, &[$crate::Kind::Bytes]).map(|value| value.bytes())
        }
    };
    ([$($doc:tt)*] code($T:ident) $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<$crate::forms::$T> {
            self.0
                .read($crate::tags::$tag, $crate::forms::$T::KINDS, |value| value.bits())
                .map($crate::forms::$T::from_bits)
        }
    };
    ([$($doc:tt)*] nest($V:ident, $B:ident) $name:ident $tag:ident) => {
        $($doc)* #[must_use]
        pub fn $name(&self) -> Option<$crate::forms::$V<'a>> {
            self.0
                .one($crate::tags::$tag, &[$crate::Kind::Stlv])
                .map(|value| $crate::forms::$V(self.0.inside(&value)))
        }
    };
    ([$($doc:tt)*] nests($V:ident, $B:ident) $name:ident $tag:ident) => {
        $($doc)*
        pub fn $name(&self) -> impl Iterator<Item = $crate::forms::$V<'a>> + use<'a> {
            let level = self.0;
            level
                .all($crate::tags::$tag, &[$crate::Kind::Stlv])
                .map(move |value| $crate::forms::$V(level.inside(&value)))
        }
    };
}

/// The setter of one row.
macro_rules! set {
    (@ [$($doc:tt)*] $name:ident $tag:ident $S:ty) => {
        $($doc)*
        pub fn $name(self, value: $S) -> Self {
            Self(self.0.with($crate::tags::$tag, value))
        }
    };
    ([$($doc:tt)*] flag $name:ident $tag:ident) => {
        $($doc)*
        pub fn $name(self, value: bool) -> Self {
            Self(self.0.with($crate::tags::$tag, u8::from(value)))
        }
    };
    ([$($doc:tt)*] inn $name:ident $tag:ident) => {
        $($doc)*
        pub fn $name(self, value: $crate::Inn) -> Self {
            Self(self.0.with($crate::tags::$tag, value.as_wire().as_slice()))
        }
    };
    ([$($doc:tt)*] text $name:ident $tag:ident) => { $crate::forms::requisites::set! { @ [$($doc)*] $name $tag &str } };
    ([$($doc:tt)*] pad $name:ident $tag:ident) => { $crate::forms::requisites::set! { @ [$($doc)*] $name $tag &str } };
    ([$($doc:tt)*] texts $name:ident $tag:ident) => { $crate::forms::requisites::set! { @ [$($doc)*] $name $tag &str } };
    ([$($doc:tt)*] byte $name:ident $tag:ident) => { $crate::forms::requisites::set! { @ [$($doc)*] $name $tag u8 } };
    ([$($doc:tt)*] bytes $name:ident $tag:ident) => { $crate::forms::requisites::set! { @ [$($doc)*] $name $tag u8 } };
    ([$($doc:tt)*] word $name:ident $tag:ident) => { $crate::forms::requisites::set! { @ [$($doc)*] $name $tag u16 } };
    ([$($doc:tt)*] long $name:ident $tag:ident) => { $crate::forms::requisites::set! { @ [$($doc)*] $name $tag u32 } };
    ([$($doc:tt)*] money $name:ident $tag:ident) => {
        $crate::forms::requisites::set! { @ [$($doc)*] $name $tag $crate::Kopecks }
    };
    ([$($doc:tt)*] number $name:ident $tag:ident) => { $crate::forms::requisites::set! { @ [$($doc)*] $name $tag u64 } };
    ([$($doc:tt)*] quantity $name:ident $tag:ident) => {
        $crate::forms::requisites::set! { @ [$($doc)*] $name $tag $crate::Quantity }
    };
    ([$($doc:tt)*] time $name:ident $tag:ident) => {
        $crate::forms::requisites::set! { @ [$($doc)*] $name $tag $crate::LocalSeconds }
    };
    ([$($doc:tt)*] raw $name:ident $tag:ident) => { $crate::forms::requisites::set! { @ [$($doc)*] $name $tag &[u8] } };
    ([$($doc:tt)*] code($T:ident) $name:ident $tag:ident) => {
        $crate::forms::requisites::set! { @ [$($doc)*] $name $tag $crate::forms::$T }
    };
    ([$($doc:tt)*] nest($V:ident, $B:ident) $name:ident $tag:ident) => {
        $crate::forms::requisites::set! { @ [$($doc)*] $name $tag $crate::forms::$B }
    };
    ([$($doc:tt)*] nests($V:ident, $B:ident) $name:ident $tag:ident) => {
        $crate::forms::requisites::set! { @ [$($doc)*] $name $tag $crate::forms::$B }
    };
}

/// The round trip of one row: what the setter takes is what the getter gives.
#[cfg(test)]
macro_rules! row {
    (@ $View:ident $Builder:ident $version:ident $parent:ident $name:ident $tag:ident $value:expr, $view:ident => $got:expr) => {{
        if $crate::forms::tests::placed($version, $parent, $crate::tags::$tag) {
            let value = $value;
            let builder = $Builder($crate::forms::draft::Draft::default()).$name(value);
            let bytes = $crate::forms::tests::level_bytes(&builder.0);
            let $view = $View($crate::forms::tests::level(&bytes, $version, $parent));
            assert_eq!($got, value, "{} of {} in {}", stringify!($name), stringify!($View), $version);
        }
    }};
    ($V:ident $B:ident $v:ident $p:ident text $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag "Ёж №1", view => view.$name().unwrap().to_cow() }
    };
    ($V:ident $B:ident $v:ident $p:ident pad $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag "Ёж 1", view => view.$name().unwrap().to_cow() }
    };
    ($V:ident $B:ident $v:ident $p:ident texts $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag "+7", view => view.$name().next().unwrap().to_cow() }
    };
    ($V:ident $B:ident $v:ident $p:ident inn $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag $crate::Inn::parse("7701234560").unwrap(),
            view => $crate::Inn::from_wire(view.$name().unwrap().0).unwrap() }
    };
    ($V:ident $B:ident $v:ident $p:ident byte $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag 7_u8, view => view.$name().unwrap() }
    };
    ($V:ident $B:ident $v:ident $p:ident bytes $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag 7_u8, view => view.$name().next().unwrap() }
    };
    ($V:ident $B:ident $v:ident $p:ident flag $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag true, view => view.$name() }
    };
    ($V:ident $B:ident $v:ident $p:ident word $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag 0x1234_u16, view => view.$name().unwrap() }
    };
    ($V:ident $B:ident $v:ident $p:ident long $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag 0x8234_5678_u32, view => view.$name().unwrap() }
    };
    ($V:ident $B:ident $v:ident $p:ident money $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag $crate::Kopecks(0x12_3456_789A), view => view.$name().unwrap() }
    };
    ($V:ident $B:ident $v:ident $p:ident number $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag 0x12_3456_789A_u64, view => view.$name().unwrap() }
    };
    ($V:ident $B:ident $v:ident $p:ident quantity $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag $crate::Quantity { mantissa: 1_250, scale: 3 },
            view => view.$name().unwrap() }
    };
    ($V:ident $B:ident $v:ident $p:ident time $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag $crate::LocalSeconds(1_773_491_400),
            view => view.$name().unwrap() }
    };
    ($V:ident $B:ident $v:ident $p:ident raw $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag [0_u8, 0xFF, 7].as_slice(), view => view.$name().unwrap() }
    };
    ($V:ident $B:ident $v:ident $p:ident code($T:ident) $name:ident $tag:ident) => {
        $crate::forms::requisites::row! { @ $V $B $v $p $name $tag $crate::forms::$T::from_bits(1), view => view.$name().unwrap() }
    };
    ($V:ident $B:ident $v:ident $p:ident nest($NV:ident, $NB:ident) $name:ident $tag:ident) => {
        if $crate::forms::tests::placed($v, $p, $crate::tags::$tag) {
            let inner = $crate::forms::$NB($crate::forms::tests::stranger());
            let bytes = $crate::forms::tests::level_bytes(&$B($crate::forms::draft::Draft::default()).$name(inner).0);
            let view = $V($crate::forms::tests::level(&bytes, $v, $p));
            $crate::forms::tests::same_stranger(view.$name().unwrap().tags());
            <$crate::forms::$NV<'_> as $crate::forms::tests::Rows>::every_row_comes_back($v, $crate::tags::$tag.0);
        }
    };
    ($V:ident $B:ident $v:ident $p:ident nests($NV:ident, $NB:ident) $name:ident $tag:ident) => {
        if $crate::forms::tests::placed($v, $p, $crate::tags::$tag) {
            let inner = $crate::forms::$NB($crate::forms::tests::stranger());
            let two = $B($crate::forms::draft::Draft::default()).$name(inner.clone()).$name(inner);
            let bytes = $crate::forms::tests::level_bytes(&two.0);
            let view = $V($crate::forms::tests::level(&bytes, $v, $p));
            assert_eq!(view.$name().count(), 2);
            view.$name().for_each(|nest| $crate::forms::tests::same_stranger(nest.tags()));
            <$crate::forms::$NV<'_> as $crate::forms::tests::Rows>::every_row_comes_back($v, $crate::tags::$tag.0);
        }
    };
}

/// An argument for the setter of one row.
#[cfg(test)]
macro_rules! roll {
    ($dice:ident text $tag:ident) => {
        &$dice.text($crate::tags::$tag)
    };
    ($dice:ident pad $tag:ident) => {
        &$dice.text($crate::tags::$tag)
    };
    ($dice:ident texts $tag:ident) => {
        &$dice.text($crate::tags::$tag)
    };
    ($dice:ident inn $tag:ident) => {
        $dice.inn()
    };
    ($dice:ident byte $tag:ident) => {
        $dice.code($crate::tags::$tag).to_le_bytes()[0]
    };
    ($dice:ident bytes $tag:ident) => {
        $dice.code($crate::tags::$tag).to_le_bytes()[0]
    };
    ($dice:ident word $tag:ident) => {
        u16::try_from($dice.number() & 0xFFFF).unwrap()
    };
    ($dice:ident long $tag:ident) => {
        u32::try_from($dice.number() & 0xFFFF_FFFF).unwrap()
    };
    ($dice:ident flag $tag:ident) => {
        $dice.once_in(2)
    };
    ($dice:ident money $tag:ident) => {
        $crate::Kopecks($dice.number().cast_signed())
    };
    ($dice:ident number $tag:ident) => {
        $dice.number()
    };
    ($dice:ident quantity $tag:ident) => {
        $dice.quantity()
    };
    ($dice:ident time $tag:ident) => {
        $crate::LocalSeconds(u32::try_from($dice.number() & 0xFFFF_FFFF).unwrap())
    };
    ($dice:ident raw $tag:ident) => {
        &$dice.raw($crate::tags::$tag)
    };
    ($dice:ident code($T:ident) $tag:ident) => {
        $crate::forms::$T::from_bits($dice.code($crate::tags::$tag))
    };
    ($dice:ident nest($V:ident, $B:ident) $tag:ident) => {
        $dice.nest::<$crate::forms::$B>($crate::tags::$tag)
    };
    ($dice:ident nests($V:ident, $B:ident) $tag:ident) => {
        $dice.nest::<$crate::forms::$B>($crate::tags::$tag)
    };
}

/// What every document has besides its own rows: the check, the requisites of the drive, `finish`.
macro_rules! document {
    ($View:ident, $Builder:ident, $forms:expr) => {
        impl<'a> $View<'a> {
            /// Checks every known value of the document once.
            ///
            /// # Errors
            /// `Form` for another form; else as [`DocumentView::typed`](crate::DocumentView::typed).
            pub fn new_checked(
                view: &$crate::DocumentView<'a>,
                version: $crate::FfdVersion,
            ) -> Result<Self, $crate::DecodeError> {
                $crate::forms::level::Level::new_checked(view, version, &$forms).map(Self)
            }

            /// Form of the document.
            #[must_use]
            pub fn form(&self) -> $crate::Form {
                $crate::Form(self.0.parent().to_le_bytes()[0])
            }

            /// The version by whose tables the document is read.
            #[must_use]
            pub const fn version(&self) -> $crate::FfdVersion {
                self.0.version()
            }

            /// Drive (номер ФН, 1041).
            #[must_use]
            pub fn drive(&self) -> Option<$crate::DriveNumber> {
                self.0.read($crate::tags::FISCAL_DRIVE_NUMBER, &[$crate::Kind::Text], |value| {
                    value.drive_number()
                })
            }
        }

        impl $Builder {
            /// The document TLV: what a container carries as its plain body.
            ///
            /// # Errors
            /// `Text`, `Overflow`, `TooLong` for a value that has no encoding; `Misplaced`, `Missing`, `Value` for
            /// what rules B1, B2 and B3, B4 of the version would find, with the tag.
            pub fn finish(&self) -> Result<alloc::vec::Vec<u8>, $crate::EncodeError> {
                self.0.finish()
            }
        }
    };
}

/// The requisites of the [`Stamp`](crate::forms::Stamp), of which a builder has no method: they come first and once.
macro_rules! stamped {
    ($View:ident) => {
        impl<'a> $View<'a> {
            /// Registration number of the register (1037), sixteen digits in a well-made document.
            #[must_use]
            pub fn registration_number(&self) -> Option<$crate::Cp866<'a>> {
                self.0
                    .one($crate::tags::KKT_REG_ID, &[$crate::Kind::Text])
                    .map(|value| value.text().trimmed())
            }

            /// The user's ИНН (1018), ten or twelve digits in a well-made document.
            #[must_use]
            pub fn user_inn(&self) -> Option<$crate::Cp866<'a>> {
                self.0.one($crate::tags::USER_INN, &[$crate::Kind::Text]).map(|value| value.text().trimmed())
            }

            /// Number of the document in its drive (номер ФД, 1040).
            #[must_use]
            pub fn number(&self) -> Option<$crate::DocumentNumber> {
                self.0
                    .read($crate::tags::FISCAL_DOCUMENT_NUMBER, &[$crate::Kind::U32], |value| value.u32())
                    .map($crate::DocumentNumber)
            }

            /// Date and time of the till (1012), without a zone.
            #[must_use]
            pub fn date_time(&self) -> Option<$crate::LocalSeconds> {
                self.0.read($crate::tags::DATE_TIME, &[$crate::Kind::UnixTime], |value| value.unixtime())
            }

            /// Fiscal sign (ФПД, 1077).
            #[must_use]
            pub fn sign(&self) -> Option<$crate::FiscalSign> {
                self.0.read($crate::tags::FISCAL_SIGN, &[$crate::Kind::Bytes], |value| value.fiscal_sign())
            }
        }
    };
}

#[cfg(test)]
pub(super) use {roll, row};
/// The beginning of a structure of which nothing is demanded.
macro_rules! empty {
    ($Builder:ident) => {
        impl $Builder {
            /// Nothing said yet.
            pub fn new() -> Self {
                Self($crate::forms::draft::Draft::default())
            }
        }

        impl Default for $Builder {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

pub(super) use {document, empty, get, requisites, set, stamped};
