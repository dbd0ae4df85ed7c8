//! Who a register is: merchant, shop, ФФД version, tax system, and the habits of its firmware.
//!
//! Groups stand in the ratio 60/25/15 in every twenty registers. Merchants own one to four registers of one group.

use ofd_codec::{DriveNumber, FfdVersion};

use crate::goods::{Group, brand};
use crate::identity::{Inn, digits, drive_number, registration_number};
use crate::life::ProfileOptions;
use crate::prng::{Prng, mix};
use crate::vocabulary::{GIVEN, INITIALS, PLACES, STREETS, SURNAMES, TOWNS, cp866};

/// The pattern of groups over twenty registers: twelve counters, five of retail, three online.
const GROUPS: [Group; 20] = {
    use Group::{Counter as C, Online as O, Retail as R};
    [C, R, C, O, C, C, R, C, C, R, C, O, C, R, C, C, O, C, R, C]
};

/// A cashier: name in CP866, and the personal tax number where the firmware sends it.
pub(crate) struct Cashier {
    pub(crate) name: Vec<u8>,
    pub(crate) inn: Option<Inn>,
}

/// Habits of a firmware: what a real register may send and need not.
pub(crate) struct Dialect {
    /// Digits after the point in whole quantities: 0, 3 or 6 (`00 01`, `03 e8 03`, `06 40 42 0f`).
    pub(crate) quantity_scale: u8,
    /// Writes the tax of each line (1200).
    pub(crate) line_tax: bool,
    /// Writes payment method and subject of each line (1214, 1212).
    pub(crate) line_method: bool,
    /// Writes payment totals that are zero (1031, 1081, 1215, 1216, 1217).
    pub(crate) zero_totals: bool,
    /// Repeats the user's name in receipts (1048).
    pub(crate) user: bool,
    /// Repeats address and place in receipts where the version leaves it free (1009, 1187).
    pub(crate) address: bool,
    /// Writes the site of the tax service (1060).
    pub(crate) tax_site: bool,
    /// Names the cashier in receipts (1021).
    pub(crate) cashier: bool,
    /// Writes the unit's name (1197), only before 1.2.
    pub(crate) unit_name: bool,
    /// Adds a property of the user (1084).
    pub(crate) property: bool,
    /// Adds a property of the receipt (1192).
    pub(crate) receipt_property: bool,
    /// Lines stand before texts and totals; otherwise last.
    pub(crate) lines_first: bool,
    /// Writes the warning flags of the drive in shift reports even when all are clear (1050-1053).
    pub(crate) drive_flags: bool,
    /// Application version in the session header.
    pub(crate) p_version: [u8; 2],
}

/// Everything about a register that stays.
pub(crate) struct Profile {
    pub(crate) group: Group,
    pub(crate) ffd: FfdVersion,
    pub(crate) drive: DriveNumber,
    pub(crate) test_drive: bool,
    pub(crate) inn: Inn,
    pub(crate) registration: [u8; 20],
    pub(crate) factory: Vec<u8>,
    pub(crate) model_version: Vec<u8>,
    pub(crate) user: Vec<u8>,
    pub(crate) address: Vec<u8>,
    pub(crate) place: Vec<u8>,
    pub(crate) cashiers: Vec<Cashier>,
    /// Tax systems of the registration (1062); receipts use exactly one bit of it (1055).
    pub(crate) tax_mask: u8,
    pub(crate) tax_system: u8,
    /// A seller under the simplified system whose income made him a payer since 2025: rate code 7 or 8 of 1199.
    pub(crate) simplified_rate: Option<u8>,
    pub(crate) internet: bool,
    pub(crate) bso: bool,
    pub(crate) marked: bool,
    pub(crate) agent: bool,
    pub(crate) automat: Option<Vec<u8>>,
    pub(crate) sender: Vec<u8>,
    /// Days of the drive's keys at activation: 410, 470 or 1110 (rule F1).
    pub(crate) key_days: u16,
    pub(crate) dialect: Dialect,
}

/// Which merchant of its group a register belongs to: merchants own 4, 3, 2, 1 registers in turn.
fn merchant_of(index: u32) -> (Group, u64) {
    let group = GROUPS.get(index as usize % GROUPS.len()).copied().unwrap_or(Group::Counter);
    let of_group = |len: usize| GROUPS.iter().take(len).filter(|other| **other == group).count() as u64;
    let rank = u64::from(index) / GROUPS.len() as u64 * of_group(GROUPS.len())
        + of_group(index as usize % GROUPS.len());
    let fleet = match rank % 10 {
        0..4 => 0,
        4..7 => 1,
        7..9 => 2,
        _ => 3,
    };
    (group, rank / 10 * 4 + fleet)
}

const COUNTER_TAXES: [(u32, u8); 5] = [(720, 1), (160, 8), (60, 4), (30, 32), (30, 2)];
const RETAIL_TAXES: [(u32, u8); 5] = [(780, 1), (110, 4), (70, 32), (20, 2), (20, 16)];
const ONLINE_TAXES: [(u32, u8); 3] = [(980, 1), (10, 4), (10, 32)];

/// First second of 2021, local: the imputed-income system (ЕНВД, bit 3 of 1055) ended.
const IMPUTED_UNTIL: u32 = 1_609_459_200;

impl Profile {
    /// The profile of register `index`: depends on the seed, the index and the options only.
    pub(crate) fn new(seed: u64, index: u32, options: &ProfileOptions) -> Self {
        let (own_group, merchant) = merchant_of(index);
        let group = options.group.unwrap_or(own_group);
        let mut of_merchant = Prng::new(mix(seed), 0x3E_0000_0000 ^ (merchant << 2) ^ group as u64);
        let mut own = Prng::new(mix(seed), 0x4F_0000_0000_0000 ^ u64::from(index));

        let (region, area, town) = of_merchant.pick(&TOWNS).copied().unwrap_or((77, "", "г. Москва"));
        let versions: [(u32, FfdVersion); 3] = match group {
            Group::Counter => [(900, FfdVersion::V1_05), (70, FfdVersion::V1_2), (30, FfdVersion::V1_1)],
            Group::Retail => [(800, FfdVersion::V1_2), (140, FfdVersion::V1_05), (60, FfdVersion::V1_1)],
            Group::Online => [(950, FfdVersion::V1_2), (50, FfdVersion::V1_05), (0, FfdVersion::V1_1)],
        };
        let ffd = options.ffd.unwrap_or(of_merchant.weighted(&versions, FfdVersion::V1_05));
        let tax_system = match group {
            Group::Counter => of_merchant.weighted(&COUNTER_TAXES, 1),
            Group::Retail => of_merchant.weighted(&RETAIL_TAXES, 1),
            Group::Online => of_merchant.weighted(&ONLINE_TAXES, 1),
        };
        let tax_system = if tax_system == 8 && options.from.0 >= IMPUTED_UNTIL { 32 } else { tax_system };
        // A general or simplified payer may hold a patent besides.
        let tax_mask = if tax_system != 32 && of_merchant.chance(60) { tax_system | 32 } else { tax_system };
        let simplified = of_merchant.weighted(&[(700, None), (180, Some(7)), (120, Some(8))], None);

        let proprietor = tax_system == 32 || (tax_system != 1 && of_merchant.chance(500));
        let inn = if proprietor {
            Inn::person(region, &mut of_merchant)
        } else {
            Inn::organisation(region, &mut of_merchant)
        };
        let brand = brand(&mut of_merchant);
        let surname = of_merchant.pick(&SURNAMES).copied().unwrap_or_default();
        let given = of_merchant.pick(&GIVEN).copied().unwrap_or_default();
        let user = match (proprietor, group) {
            (true, _) => format!("ИП {surname} {given}"),
            (false, Group::Counter) => format!("ООО \"{brand}\""),
            (false, Group::Retail) => match of_merchant.below(3) {
                0 => format!("АО \"Торговый дом {brand}\""),
                1 => format!("ОБЩЕСТВО С ОГРАНИЧЕННОЙ ОТВЕТСТВЕННОСТЬЮ \"{}\"", brand.to_uppercase()),
                _ => format!("ООО \"{brand}-Маркет\""),
            },
            (false, Group::Online) => match of_merchant.below(4) {
                0 => format!("ОБЩЕСТВО С ОГРАНИЧЕННОЙ ОТВЕТСТВЕННОСТЬЮ \"{}\"", brand.to_uppercase()),
                _ => format!("ООО \"{brand} Онлайн-торг\""),
            },
        };
        let automat = match group {
            Group::Counter => own.chance(60),
            Group::Online => own.chance(200),
            Group::Retail => false,
        };
        let latin = of_merchant.between(1000, 99_999);
        let internet = match group {
            Group::Counter => of_merchant.chance(210),
            Group::Retail => false,
            Group::Online => true,
        };

        let street = own.pick(&STREETS).copied().unwrap_or_default();
        let house = own.between(1, 180);
        let post = own.between(101_000, 692_999);
        let short = group == Group::Counter && own.chance(600);
        let address = match (short, group) {
            (true, _) => format!("{town}, {street}, {house}"),
            (false, Group::Online) if own.chance(250) => format!(
                "{post}, {area}, {town}, {street}, дом {house}, корп. {}, помещение {}",
                own.between(1, 9),
                own.between(1, 60)
            ),
            _ => format!("{post}, {area}, {town}, {street}, д. {house}"),
        };
        let place = match group {
            Group::Online => format!("shop{latin}.example"),
            _ if internet => format!("pay{latin}.example"),
            _ => {
                let place = own.pick(&PLACES).copied().unwrap_or("Касса");
                if own.chance(500) {
                    format!("{place} \"{brand}\"")
                } else {
                    format!("{place} {}", own.between(1, 90))
                }
            }
        };
        let cashiers = (0..own.between(1, 3))
            .map(|_| {
                let surname = own.pick(&SURNAMES).copied().unwrap_or_default();
                let initials = own.pick(&INITIALS).copied().unwrap_or_default();
                let name = match group {
                    Group::Online => "КАССИР".to_owned(),
                    _ if own.chance(300) => format!("Кассир {surname} {initials}"),
                    _ => format!("{surname} {initials}"),
                };
                let inn = (group != Group::Online && own.chance(300)).then(|| Inn::person(region, &mut own));
                Cashier { name: cp866(&name), inn }
            })
            .collect();

        let factory = own.between(1_000_000_000, 99_999_999_999_999);
        let factory = format!("{factory:014}");
        let registration =
            registration_number(own.below(1_000_000_000) + u64::from(index) % 100, &inn, &factory);
        let bso = group == Group::Counter && !internet && own.chance(80);
        let dialect = Dialect::new(group, ffd, internet, &mut own);
        Self {
            group,
            ffd,
            drive: drive_number(seed, index, options.test_drives),
            test_drive: options.test_drives,
            inn,
            registration,
            factory: cp866(&factory),
            model_version: cp866(
                ["001", "002", "1.04", "5.8.100"].get(own.below(4) as usize).copied().unwrap_or("001"),
            ),
            user: cp866(&user),
            address: cp866(&address),
            place: cp866(&place),
            cashiers,
            tax_mask,
            tax_system,
            simplified_rate: simplified.filter(|_| tax_system & 6 != 0),
            internet,
            bso,
            marked: group != Group::Counter || own.chance(300),
            agent: match group {
                Group::Online => of_merchant.chance(250),
                Group::Counter => of_merchant.chance(40),
                Group::Retail => false,
            },
            automat: automat.then(|| digits::<8>(own.below(100_000_000)).to_vec()),
            sender: cp866(&format!("ofd@s{latin}.example")),
            key_days: own.weighted(&[(650, 470), (150, 410), (200, 1110)], 470),
            dialect,
        }
    }

    /// The cashier of a shift.
    pub(crate) fn cashier(&self, shift: u32) -> Option<&Cashier> {
        self.cashiers.iter().cycle().nth(shift as usize % self.cashiers.len().max(1))
    }
}

impl Dialect {
    fn new(group: Group, ffd: FfdVersion, internet: bool, own: &mut Prng) -> Self {
        let counter = group == Group::Counter;
        // Versions 1.1 and 1.2 want method and subject in practice; older firmware leaves both out.
        let line_method = ffd != FfdVersion::V1_05 || !counter || own.chance(450);
        Self {
            quantity_scale: own.weighted(&[(250, 0), (400, 3), (350, 6)], 3),
            line_tax: match group {
                Group::Counter => own.chance(220),
                Group::Retail => own.chance(700),
                Group::Online => own.chance(80),
            },
            line_method,
            zero_totals: !counter || own.chance(400),
            user: !counter || own.chance(60),
            address: !counter || own.chance(60),
            tax_site: match group {
                Group::Counter => own.chance(170),
                Group::Retail => own.chance(450),
                Group::Online => own.chance(100),
            },
            cashier: !internet && own.chance(if counter { 250 } else { 950 })
                || (internet && !counter && own.chance(800)),
            unit_name: counter && ffd != FfdVersion::V1_2 && own.chance(80),
            property: counter && own.chance(90),
            receipt_property: counter && own.chance(40),
            lines_first: own.chance(700),
            drive_flags: own.chance(500),
            p_version: match ffd {
                // Some firmware of 1.05 calls itself 1.0 in the header: seen in a public message.
                FfdVersion::V1_05 if own.chance(40) => [0x00, 0x01],
                FfdVersion::V1_05 => [0x01, 0x05],
                FfdVersion::V1_1 => [0x01, 0x10],
                FfdVersion::V1_2 => [0x01, 0x20],
                FfdVersion::V1_0 => [0x00, 0x01],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    /// The mix is promised in every report of a load run.
    #[test]
    fn groups_stand_sixty_to_twenty_five_to_fifteen() {
        let mut counts: HashMap<Group, u32> = HashMap::new();
        for index in 0..1000 {
            *counts.entry(Profile::new(1, index, &ProfileOptions::default()).group).or_default() += 1;
        }
        assert_eq!(
            (counts.remove(&Group::Counter), counts.remove(&Group::Retail), counts.remove(&Group::Online)),
            (Some(600), Some(250), Some(150))
        );
    }

    /// Cards by merchant are only tested when merchants have several registers, and registration numbers are their own.
    #[test]
    fn merchants_own_several_registers_and_every_register_has_its_number() {
        let profiles: Vec<_> =
            (0..400).map(|index| Profile::new(4, index, &ProfileOptions::default())).collect();
        let merchants: HashSet<_> = profiles.iter().map(|profile| profile.inn).collect();
        let registers: HashSet<_> = profiles.iter().map(|profile| profile.registration).collect();
        assert!((150..=175).contains(&merchants.len()), "{}", merchants.len());
        assert_eq!(registers.len(), 400);
        assert!(profiles.iter().any(|profile| profile.bso) && profiles.iter().any(|profile| profile.agent));
        let versions: HashSet<_> = profiles.iter().map(|profile| profile.ffd).collect();
        assert_eq!(versions.len(), 3, "1.05, 1.1 and 1.2");
    }
}
