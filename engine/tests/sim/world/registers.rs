//! The registers of the world and the network between them and the engine: who sends what, when, and what becomes of
//! it on the way.

use super::*;

impl World<'_> {
    pub(super) fn reset(&mut self, at: usize) {
        if let Some(link) = &mut self.links[at] {
            link.socket.reset();
            link.there.clear();
            link.back.clear();
            link.gone = true;
            self.totals.resets += 1;
        }
    }

    /// Bytes arrive on both sides.
    pub(super) fn network(&mut self) -> Result<bool, Broken> {
        let now = self.now();
        let mut worked = false;
        for at in 0..self.links.len() {
            if self.rng.chance(self.net.resets / 16) && self.links[at].is_some() {
                self.reset(at);
            }
            let (delay, most) = (self.rng.below(self.net.delay_us + 1), self.net.fragment);
            let Some(link) = &mut self.links[at] else { continue };
            while let Some((_, bytes)) = link.there.pop_front_if(|(time, _)| *time <= now) {
                worked = true;
                if self.rng.chance(self.net.resets) {
                    // Some of it arrives before the connection breaks.
                    link.socket.deliver(&bytes[..self.rng.below(bytes.len() as u64 + 1) as usize]);
                    link.there.clear();
                    link.gone = true;
                    link.closes_at = now;
                    break;
                }
                link.socket.deliver(&bytes);
            }
            if link.there.is_empty() && link.finishes {
                link.socket.finish();
                link.finishes = false;
            }
            let came = link.socket.take(if most == 0 { usize::MAX } else { most });
            if !came.is_empty() {
                worked = true;
                // Order is kept: nothing overtakes what left before.
                let from = link.back.back().map_or(now, |it| it.0);
                link.back.push_back((from.max(now + delay), came));
            }
            while let Some((_, bytes)) = link.back.pop_front_if(|(time, _)| *time <= now) {
                worked = true;
                link.got.extend_from_slice(&bytes);
            }
            let shut = link.socket.is_shut() && link.socket.written() == 0 && link.back.is_empty();
            if link.sender.is_none() && (shut || link.gone || now >= link.closes_at) {
                link.socket.reset();
                self.links[at] = None;
            } else if shut {
                link.gone = true;
            }
        }
        Ok(worked)
    }

    pub(super) fn registers(&mut self) -> bool {
        let now = self.now();
        let mut worked = false;
        if !self.faults_off && self.rng.chance(self.net.noise / 4) {
            worked |= self.make_noise();
        }
        for at in 0..self.senders.len() {
            worked |= self.make(at, now) | self.hear(at, now) | self.send(at, now);
        }
        worked
    }

    /// Registers go on with their lives.
    pub(super) fn make(&mut self, at: usize, now: u64) -> bool {
        if self.faults_off {
            return false;
        }
        let mut worked = false;
        let Self { senders, rng, oracle, scenario, host, net, .. } = self;
        let mut forged = None;
        for till in &mut senders[at].tills {
            if till.left == 0 || now < till.next_at {
                continue;
            }
            worked = true;
            till.left -= 1;
            till.next_at = now + rng.pick(&[0, 1_000, 100_000, 2 * SECOND]);
            if rng.one_in(60) {
                // Another drive is put in; what the old one holds is still sent.
                till.index += 1_000;
                till.register = Register::new(till.seed, till.index, &till.options);
            }
            let mut message = Vec::new();
            if till.register.next_message(&mut message).is_none() {
                till.left = 0;
                continue;
            }
            if till.giant && rng.one_in(3) {
                message = wire::enlarged(&message, rng.pick(&[20_000, 32_768]) as usize);
            }
            // Another registration would begin a new life of a test drive.
            if rng.chance(net.forgers) && !till.options.test_drives {
                let other = wire::altered(&message, 1 + rng.below(255) as u8);
                let sort =
                    if !scenario.moods.passes_through && rng.one_in(2) { Sort::Forged } else { Sort::Good };
                if sort == Sort::Forged {
                    host.forge(&other[30..]);
                }
                forged = Some((till.seed, till.index, till.options, oracle.make(other, sort)));
            }
            till.backlog.push_back(oracle.make(message, Sort::Good));
        }
        if let Some((seed, index, options, doc)) = forged {
            // The forger has a connection of his own and one document.
            let mut till = Till {
                register: Register::new(seed, index, &options),
                seed,
                index,
                backlog: VecDeque::new(),
                left: 0,
                next_at: 0,
                giant: false,
                options,
            };
            till.backlog.push_back(doc);
            let mut sender = Sender::new(vec![till]);
            sender.retry_at = now + rng.below(20_000);
            senders.push(sender);
        }
        worked
    }

    /// A register takes its answers, or notices that none will come.
    pub(super) fn hear(&mut self, at: usize, now: u64) -> bool {
        let Self { senders, links, rng, net, .. } = self;
        let sender = &mut senders[at];
        let Some(number) = sender.link else { return false };
        let Some(link) = links[number].as_mut() else {
            sender.link = None;
            return true;
        };
        let mut worked = false;
        while let Some(len) = wire::message_len(&link.got).filter(|len| link.got.len() >= *len) {
            worked = true;
            let answer: Vec<u8> = link.got.drain(..len).collect();
            let Some((till, doc)) = sender.in_flight.pop_front() else { continue };
            debug_assert!(wire::read_answer(&answer).is_ok());
            let backlog = &mut sender.tills[till].backlog;
            if backlog.front() == Some(&doc) {
                backlog.pop_front();
            }
            sender.failures = 0;
            sender.last = Some((till, doc));
            sender.give_up_at = now + 6 * SECOND;
        }
        let cycled = !self.faults_off && rng.chance(net.power_cycles);
        if cycled && let Some((till, doc)) = sender.last.take() {
            // The drive was switched off before it had taken the answer in.
            sender.tills[till].backlog.push_front(doc);
        }
        if link.gone || cycled || now >= sender.give_up_at {
            link.sender = None;
            link.closes_at = now;
            if !link.gone && rng.chance(net.twins) {
                // Nobody tells the engine; the next connection comes while this one is open.
                link.closes_at = now + 5 * SECOND;
            }
            sender.link = None;
            sender.in_flight.clear();
            sender.failures = (sender.failures + 1).min(6);
            let most = (50_000u64 << sender.failures).min(3 * SECOND);
            sender.retry_at = now + rng.below(most);
            return true;
        }
        worked
    }

    /// A register sends what it has.
    pub(super) fn send(&mut self, at: usize, now: u64) -> bool {
        let Self { scenario, senders, links, rng, net, oracle, machine, .. } = self;
        let sender = &mut senders[at];
        let waits = sender.tills.iter().any(|till| !till.backlog.is_empty());
        if !waits || now < sender.retry_at {
            return false;
        }
        let Some(machine) = machine else {
            sender.retry_at = now + rng.below(SECOND);
            return true;
        };
        if sender.link.is_some() && (!sender.in_flight.is_empty() || !scenario.keeps_connection) {
            // One question at a time on a connection of its own, or a batch of them.
            if !sender.in_flight.is_empty() {
                return false;
            }
            let number = sender.link.take().unwrap_or_default();
            if let Some(link) = &mut links[number] {
                (link.sender, link.closes_at) = (None, now);
                link.finishes = rng.one_in(2);
            }
            return true;
        }
        let number = match sender.link {
            Some(number) => number,
            None => {
                let port = rng.below(u64::from(scenario.ports)) as usize;
                let peer = std::net::SocketAddr::from(([10, 0, (at >> 8) as u8, at as u8], 40_000));
                let socket = machine.connect(port, peer);
                if net.fragment > 0 || net.window > 0 {
                    let window = if net.window == 0 { usize::MAX } else { net.window };
                    socket.narrow(window, if net.fragment == 0 { usize::MAX } else { net.fragment });
                }
                let link = Link::new(socket, port, Some(at));
                match links.iter().position(Option::is_none) {
                    Some(free) => {
                        links[free] = Some(link);
                        free
                    }
                    None => {
                        links.push(Some(link));
                        links.len() - 1
                    }
                }
            }
        };
        sender.link = Some(number);
        sender.give_up_at = now + 6 * SECOND;
        let Some(link) = &mut links[number] else { return true };
        let mut bytes = Vec::new();
        for (till, Till { backlog, .. }) in sender.tills.iter().enumerate() {
            for &doc in backlog.iter().take(scenario.depth) {
                let known = &mut oracle.docs[doc].messages;
                if known.len() < 4
                    && !matches!(oracle.docs[doc].sort, Sort::Forged)
                    && oracle.docs[doc].behind.is_some()
                    && rng.one_in(4)
                {
                    let other = wire::resealed(&oracle.docs[doc].messages[0], 1 + rng.below(255) as u8);
                    oracle.docs[doc].messages.push(other.into());
                }
                oracle.sent(doc);
                let messages = &oracle.docs[doc].messages;
                bytes.extend_from_slice(&messages[rng.below(messages.len() as u64) as usize]);
                link.expected.push_back(doc);
                sender.in_flight.push_back((till, doc));
            }
        }
        let arrives = now + rng.below(net.delay_us + 1);
        if rng.one_in(3) {
            // In pieces, each with a delay of its own.
            let mut from = arrives;
            for piece in bytes.chunks(rng.between(1, 700) as usize) {
                from += rng.below(net.delay_us / 4 + 1);
                link.there.push_back((from, piece.to_vec()));
            }
        } else {
            link.there.push_back((arrives, bytes));
        }
        if !scenario.keeps_connection && rng.chance(net.half_close) {
            link.finishes = true;
        }
        true
    }

    /// Somebody sends what is no document; nothing of it is answered.
    pub(super) fn make_noise(&mut self) -> bool {
        let Self { scenario, links, rng, oracle, machine, env, .. } = self;
        let Some(machine) = machine else { return false };
        let now = env.now().mono_us;
        let mut register =
            Register::new(scenario.seed, 5_000 + rng.below(50) as u32, &ProfileOptions::default());
        let mut message = Vec::new();
        register.next_message(&mut message);
        match rng.below(7) {
            0 => {
                let at = 34 + rng.below(message.len() as u64 - 34) as usize;
                message[at] ^= 1 << rng.below(8);
            }
            1 => message.truncate(rng.below(message.len() as u64) as usize),
            2 => message.iter_mut().for_each(|byte| *byte = rng.next() as u8),
            3 => message[24] ^= 0x10,
            4 => {
                message = wire::misfit(&message);
                // The same misfit again is the same to the engine, too.
                let known = oracle.docs.iter().position(|doc| *doc.messages[0] == *message);
                let doc = known.unwrap_or_else(|| oracle.make(message.clone(), Sort::Misfit));
                oracle.sent(doc);
            }
            5 => message[..4].copy_from_slice(&[0xDD, 0x80, 0xCA, 0xA1]),
            _ => message[4..6].copy_from_slice(&[0x82, 0xFB]),
        }
        self.totals.noise += 1;
        let port = rng.below(u64::from(scenario.ports)) as usize;
        let socket = machine.connect(port, std::net::SocketAddr::from(([10, 9, 9, 9], 9)));
        let mut link = Link::new(socket, port, None);
        link.there.push_back((now, message));
        link.closes_at = now + 5 * SECOND;
        match links.iter().position(Option::is_none) {
            Some(free) => links[free] = Some(link),
            None => links.push(Some(link)),
        }
        self.note(&[7]);
        true
    }
}
