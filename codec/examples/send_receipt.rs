//! Builds a receipt, sends it to an operator and reads the confirmation.
//!
//! `cargo run -p ofd-codec --example send_receipt -- host:port`; without it, to a stand-in that confirms one document.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use ofd_codec::forms::{
    ItemBuilder, Operation, PaymentMethod, PaymentSubject, ReceiptBuilder, Settlement, Stamp, TaxSystems,
    Typed, VatRate, VatSumsBuilder,
};
use ofd_codec::{
    ConfirmationRequest, DocumentNumber, DriveNumber, FfdVersion, FiscalSign, Form, Frame, Inn, Kopecks,
    LocalSeconds, Message, Quantity, RegistrationNumber, open_answer,
};

/// One message from the stream, as long as its header says.
fn receive(stream: &mut TcpStream) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        if let Some((message, _)) = Frame::split(&bytes)? {
            return Ok(message.to_vec());
        }
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err("the connection ended".into());
        }
        bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
}

/// An operator that accepts whatever one register sends, without any crypto.
fn stand_in(listener: &TcpListener) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (mut stream, _) = listener.accept()?;
    let message = receive(&mut stream)?;
    let frame = Frame::new_checked(&message)?;
    let (drive, number) =
        (DriveNumber::from_wire(&frame.header().drive)?, frame.container().service().number());
    let mut answer = Vec::new();
    let now = LocalSeconds(1_773_491_407);
    ConfirmationRequest::unsigned(*b"7700001002  ", drive, number, now, 0, frame.header().p_version)
        .encode_into(&mut answer)?;
    stream.write_all(&answer)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let (version, drive) = (FfdVersion::V1_2, DriveNumber::parse("9999078900012345")?);
    let stamp = Stamp {
        drive,
        registration: RegistrationNumber::for_register(*b"0000000001", "7701234560", "00106900000001")
            .ok_or("no registration number")?,
        user_inn: Inn::parse("7701234560")?,
        number: DocumentNumber(17),
        date_time: LocalSeconds(1_773_491_400),
        // Six bytes that a real drive would compute.
        sign: FiscalSign([0x21, 0x04, 0, 0, 1, 2]),
    };
    let settlement =
        Settlement { shift: 1, number_in_shift: 5, operation: Operation::SALE, total: Kopecks(15_900) };
    let tea = ItemBuilder::new("Чай", Kopecks(15_900), Quantity { mantissa: 1, scale: 0 }, Kopecks(15_900))
        .vat_rate(VatRate::VAT_22)
        .vat_sum(Kopecks(2_867))
        .payment_method(PaymentMethod::FULL)
        .payment_subject(PaymentSubject::GOODS)
        .quantity_measure(0);
    let plain = ReceiptBuilder::receipt(version, &stamp, &settlement)
        .items(tea)
        .cash(Kopecks(15_900))
        .ecash(Kopecks(0))
        .prepaid(Kopecks(0))
        .credit(Kopecks(0))
        .provision(Kopecks(0))
        .tax_system(TaxSystems::GENERAL)
        .vat_sums(VatSumsBuilder::new([(VatRate::VAT_22, Kopecks(2_867))]))
        .user_name("ООО \"Пример\"")
        .cashier("Кассир Образцова")
        .retail_place_address("101000, г. Москва, ул. Ничья, д. 1")
        .retail_place("Лавка у дома")
        .finish()?;
    let mut message = Vec::new();
    Message::from_register(version.p_version(), drive, 17, Form::RECEIPT, &plain)
        .encode_into(&mut message)?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address =
        std::env::args().nth(1).map_or_else(|| listener.local_addr().map(|at| at.to_string()), Ok)?;
    let operator = std::env::args().nth(1).is_none().then(|| thread::spawn(move || stand_in(&listener)));

    let mut stream = TcpStream::connect(&address)?;
    stream.write_all(&message)?;
    let answer = receive(&mut stream)?;
    let frame = Frame::new_checked(&answer)?;
    let container = frame.container();
    let view = open_answer(&container, Some(drive.as_bytes()), container.body())?;
    let Typed::Confirmation(confirmation) = view.typed(version)? else {
        return Err("the operator answered with another form".into());
    };
    let code = confirmation.message().and_then(|message| message.answer()).ok_or("no answer code")?;
    println!("document {}: {code}", confirmation.number().unwrap_or_default());
    match operator.map(thread::JoinHandle::join) {
        Some(Err(_)) => Err("the stand-in ended badly".into()),
        Some(Ok(done)) => done,
        None => Ok(()),
    }
}
