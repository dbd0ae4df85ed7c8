//! `ofd receipts`: lists of documents by what is known of them, page by page.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use clap::{Args, ValueEnum};
use ofd_engine::codec::{Civil, DriveNumber, Kopecks, LocalSeconds};
use ofd_engine::control::receipt_line;
use ofd_engine::host::Capability;
use ofd_engine::storage::envelope::Realm;
use ofd_engine::{ItemSearch, Payment, ReadOnly, Search, SearchCursor, SearchHit};
use serde_json::json;

use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::ranges::{begin, end, range};

/// Lists documents, newest first: of a period, a register, with an item…; everything that is said has to hold.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the archive and the log behind it by itself, beside a running server too. Ranges are A..B, A.., ..B or one value; sums
are kopecks; times are YYYY-MM-DD or YYYY-MM-DDThh:mm:ss on the clock of the register. With --json the last line is
{\"next\":\"…\"} when there is another page: give it to --after with the same filters. Pages stay where they are,
whatever comes meanwhile. `ofd find` shows the whole document. Exit code 4 when nothing is found.

Examples:
  ofd receipts --data /var/lib/ofd --inn 7707083893 --from 2026-03-01 --to 2026-03-31 --json
  ofd receipts --data /var/lib/ofd --from 2026-03-01 --to 2026-03-02 --fpd 1234567890
  ofd receipts --data /var/lib/ofd --inn 7707083893 --words 'молоко 3,2' --total 10000..50000")]
pub(crate) struct Receipts {
    #[command(flatten)]
    data: DataDir,
    /// Of this user only (1018).
    #[arg(long, value_name = "INN")]
    inn: Option<String>,
    /// From this time on (1012).
    #[arg(long, value_name = "TIME", value_parser = begin)]
    from: Option<i64>,
    /// Up to and with this time; a day is meant whole.
    #[arg(long, value_name = "TIME", value_parser = end)]
    to: Option<i64>,
    /// Of this registration number (РНМ, 1037).
    #[arg(long, value_name = "RNM")]
    rnm: Option<String>,
    /// Of this fiscal drive (ФН, 1041).
    #[arg(long = "fn", value_name = "FN", value_parser = crate::find::drive)]
    drive: Option<DriveNumber>,
    /// Numbers of documents (ФД, 1040).
    #[arg(long, value_name = "RANGE", value_parser = range::<u32>)]
    fd: Option<RangeInclusive<u32>>,
    /// Printed fiscal sign (ФП, 1077): repeats, so say --inn, --rnm, --fn or --from and --to as well.
    #[arg(long, value_name = "N")]
    fpd: Option<u32>,
    /// Sum (1020), kopecks.
    #[arg(long, value_name = "RANGE", value_parser = range::<i64>, allow_hyphen_values = true)]
    total: Option<RangeInclusive<i64>>,
    /// Shifts (1038).
    #[arg(long, value_name = "RANGE", value_parser = range::<u32>)]
    shift: Option<RangeInclusive<u32>>,
    /// Number in the shift (1042).
    #[arg(long, value_name = "N")]
    number_in_shift: Option<u32>,
    /// Forms by their JSON names: receipt, bso, receiptCorrection…
    #[arg(long, value_name = "FORM", value_delimiter = ',')]
    form: Vec<String>,
    /// 1 income, 2 return of income, 3 expense, 4 return of expense (1054).
    #[arg(long, value_name = "N", value_delimiter = ',')]
    direction: Vec<u8>,
    /// Paid with one of these.
    #[arg(long, value_name = "FORM", value_delimiter = ',')]
    payment: Vec<PaidWith>,
    /// One of these bits of 1055.
    #[arg(long, value_name = "BITS")]
    tax_system: Option<u32>,
    /// VAT by codes of 1199.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    vat: Vec<u8>,
    /// Words of the name of the cashier (1021).
    #[arg(long, value_name = "WORDS")]
    cashier: Option<String>,
    /// INN of the cashier (1203).
    #[arg(long, value_name = "INN")]
    cashier_inn: Option<String>,
    /// Number of the automat (1036).
    #[arg(long, value_name = "N")]
    automat: Option<String>,
    /// One of these bits of 1057.
    #[arg(long, value_name = "BITS")]
    agent: Option<u32>,
    /// Telephone or address of the buyer (1008).
    #[arg(long, value_name = "CONTACT", allow_hyphen_values = true)]
    buyer: Option<String>,
    /// INN of the buyer (1228).
    #[arg(long, value_name = "INN")]
    buyer_inn: Option<String>,
    /// Sold on the internet (1125, 1108), or not.
    #[arg(long, value_name = "true|false")]
    internet: Option<bool>,
    /// Answered with one of these codes.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    answer_code: Vec<u8>,
    /// Those in which the rules have found something.
    #[arg(long)]
    with_violations: bool,
    /// Documents of production, of tests, or of both.
    #[arg(long, value_name = "REALM", default_value = "prod")]
    realm: OfRealm,
    /// Also variants that do not count.
    #[arg(long)]
    all_variants: bool,
    /// Words of the name of an item, or parts of them (1030).
    #[arg(long, value_name = "WORDS")]
    words: Option<String>,
    /// GTIN of an item.
    #[arg(long, value_name = "GTIN")]
    gtin: Option<String>,
    /// Code of an item as it stands (1163, 1080; 1162 in hex).
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Those with a marked good.
    #[arg(long)]
    marked: bool,
    /// Documents of a page, 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Where the last page ended.
    #[arg(long, value_name = "CURSOR")]
    after: Option<SearchCursor>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PaidWith {
    Cash,
    Ecash,
    Prepaid,
    Credit,
    Provision,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OfRealm {
    Prod,
    Test,
    All,
}

impl Receipts {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let reader = ReadOnly::open(self.data.existing()?)?;
        let capability = match &self.inn {
            Some(inn) => Capability::users([inn.clone()]),
            None => Capability::operator(),
        };
        let page = reader.search(&capability, &self.search(), self.limit, self.after.as_ref())?;
        let mut output = Output::new();
        if !self.json {
            output.line(&format!(
                "{:<19} {:<16} {:>9} {:>10} {:<18} {:>3} {:>14} {:>5}  {}",
                "TIME", "FN", "FD", "FPD", "FORM", "DIR", "TOTAL", "SHIFT", "PLACE"
            ))?;
        }
        let line = if self.json { receipt_line } else { row };
        page.hits.iter().try_for_each(|hit| output.line(&line(hit)))?;
        match &page.next {
            Some(next) if self.json => output.line(&json!({ "next": next.to_string() }).to_string())?,
            Some(next) => {
                output.flush()?;
                crate::failure::talk(format_args!("there is more: --after {next}"));
            }
            None => {}
        }
        output.flush()?;
        if page.hits.is_empty() && self.after.is_none() {
            let text = format!("{}: there are no such documents", self.data.dir.display());
            return Err(Failure::new(Exit::NotFound, text));
        }
        Ok(())
    }

    fn search(&self) -> Search {
        let payment = |it: &PaidWith| match it {
            PaidWith::Cash => Payment::Cash,
            PaidWith::Ecash => Payment::Electronic,
            PaidWith::Prepaid => Payment::Prepaid,
            PaidWith::Credit => Payment::Credit,
            PaidWith::Provision => Payment::Provision,
        };
        let payments: Vec<Payment> = self.payment.iter().map(payment).collect();
        Search {
            from: self.from,
            to: self.to,
            inns: None,
            rnms: self.rnm.clone().map(|it| BTreeSet::from([it])),
            drive: self.drive.map(|it| it.as_str().to_owned()),
            numbers: self.fd.clone(),
            sign: self.fpd,
            total: self.total.clone(),
            shifts: self.shift.clone(),
            number_in_shift: self.number_in_shift,
            forms: any_of(&self.form),
            directions: any_of(&self.direction),
            payments: any_of(&payments),
            tax_systems: self.tax_system,
            vat_rates: any_of(&self.vat),
            cashier: self.cashier.clone(),
            cashier_inn: self.cashier_inn.clone(),
            automat: self.automat.clone(),
            agent_flags: self.agent,
            buyer_contact: self.buyer.clone(),
            buyer_inn: self.buyer_inn.clone(),
            internet: self.internet,
            correction_types: None,
            answer_codes: any_of(&self.answer_code),
            with_findings: self.with_violations,
            realm: match self.realm {
                OfRealm::Prod => Some(Realm::Prod),
                OfRealm::Test => Some(Realm::Test),
                OfRealm::All => None,
            },
            all_variants: self.all_variants,
            item: ItemSearch {
                words: self.words.clone(),
                gtin: self.gtin.clone(),
                code: self.code.clone(),
                marked: self.marked,
            },
        }
    }
}

fn any_of<T: Ord + Clone>(values: &[T]) -> Option<BTreeSet<T>> {
    (!values.is_empty()).then(|| values.iter().cloned().collect())
}

fn row(hit: &SearchHit) -> String {
    let number = |value: Option<i64>| value.map_or("-".to_owned(), |it| it.to_string());
    let at = hit.local_seconds.and_then(|it| u32::try_from(it).ok());
    format!(
        "{:<19} {:<16} {:>9} {:>10} {:<18} {:>3} {:>14} {:>5}  {}",
        at.map_or("-".to_owned(), |it| Civil::from(LocalSeconds(it)).to_string()),
        hit.drive,
        hit.number,
        number(hit.sign.map(i64::from)),
        hit.form.as_deref().unwrap_or("-"),
        number(hit.direction),
        hit.total.map_or("-".to_owned(), |it| Kopecks(it).to_string()),
        number(hit.shift),
        hit.place.as_deref().or(hit.address.as_deref()).unwrap_or("-"),
    )
}
