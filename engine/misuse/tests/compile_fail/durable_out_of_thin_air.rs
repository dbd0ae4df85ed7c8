//! A proof of durability has one maker: the watermark.
use ofd_engine::Lsn;
use ofd_engine::confirmation::Durable;

fn main() {
    let _ = Durable { lsn: Lsn::new(1) };
}
