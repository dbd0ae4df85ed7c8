"""A cash register in a few lines: messages cut off a stream, answers read as a drive would read them.

Independent of the Rust code on purpose: what the engine says is measured here, not believed.
"""

import binascii
import socket
import struct

SESSION, CONTAINER, TRAILER = 30, 32, 10


def crc(container):
    """CRC-16/CCITT-FALSE over the container without its own checksum field."""
    return binascii.crc_hqx(container[4:], binascii.crc_hqx(container[:2], 0xFFFF))


def split(stream):
    """Messages of a stream, one after the other."""
    while stream:
        length = SESSION + struct.unpack_from("<H", stream, 24)[0]
        yield stream[:length]
        stream = stream[length:]


def with_checksum(message):
    """The message with the checksum of its container made right."""
    container = bytearray(message[SESSION:])
    container[2:4] = struct.pack("<H", crc(bytes(container)))
    return message[:SESSION] + bytes(container)


def other_envelope(message):
    """The same document in another container: other service data, another message sign."""
    changed = bytearray(message)
    at = SESSION + 20
    changed[at:at + 10] = bytes(byte ^ 0x5A for byte in changed[at:at + 10])
    changed[-8:-2] = bytes(byte ^ 0xA5 for byte in changed[-8:-2])
    return with_checksum(bytes(changed))


def tags(tlv):
    """(tag, value) of one level."""
    at = 0
    while at < len(tlv):
        tag, length = struct.unpack_from("<HH", tlv, at)
        assert at + 4 + length <= len(tlv), f"tag {tag} runs out of its level"
        yield tag, tlv[at + 4:at + 4 + length]
        at += 4 + length


def other_document(message):
    """Another document under the same drive and number: the last byte of its fiscal sign (1077) differs."""
    changed = bytearray(message)
    at = message.index(struct.pack("<HH", 1077, 6), SESSION + CONTAINER) + 4 + 5
    changed[at] ^= 0xFF
    return with_checksum(bytes(changed))


def drive_and_number(message):
    """As the container header says."""
    container = message[SESSION:]
    return container[9:17].hex().rstrip("f"), int.from_bytes(container[17:20], "big")


class Answer:
    """A confirmation, checked against the message that it answers."""

    def __init__(self, answer, message):
        container = answer[SESSION:]
        assert answer[:4] == message[:4], "another signature"
        assert answer[8:24] == message[8:24], "another drive in the session header"
        assert answer[6:8] == message[6:8], "another P-version"
        assert struct.unpack_from("<H", answer, 26)[0] == 0x0014, "other flags"
        assert struct.unpack_from("<H", container)[0] == len(container), "a wrong length"
        assert struct.unpack_from("<H", container, 2)[0] == crc(container), "a wrong checksum"
        assert (container[4], container[5]) == (0x5A, 7), "no confirmation"
        assert drive_and_number(answer) == drive_and_number(message), "another drive or number"
        plain = container[CONTAINER:-TRAILER]
        (form, inside), = tags(plain)
        assert form == 7, "not form 7"
        inside = list(tags(inside))
        assert [tag for tag, _ in inside][:6] == [1017, 1078, 1041, 1040, 1012, 1068], "tags in another order"
        by_tag = dict(inside)
        assert int.from_bytes(by_tag[1040], "little") == drive_and_number(message)[1], "1040 differs"
        self.code = dict(tags(by_tag[1068]))[1022][0]
        self.time = int.from_bytes(by_tag[1012], "little")

    def __eq__(self, other):
        return (self.code, self.time) == (other.code, other.time)

    def __repr__(self):
        return f"code {self.code}, 1012 = {self.time}"


class Line:
    """One connection."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.read = b""

    def _take(self, count):
        while len(self.read) < count:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("closed unanswered")
            self.read += more
        taken, self.read = self.read[:count], self.read[count:]
        return taken

    def answer(self, message):
        head = self._take(SESSION)
        return Answer(head + self._take(struct.unpack_from("<H", head, 24)[0]), message)

    def send(self, message):
        self.socket.sendall(message)

    def close(self):
        self.socket.close()


def one_socket(address, messages):
    """All at once down one socket, then all the answers in order."""
    line = Line(address)
    line.send(b"".join(messages))
    answers = [line.answer(message) for message in messages]
    line.close()
    return answers


def a_connection_each(address, messages):
    answers = []
    for message in messages:
        line = Line(address)
        line.send(message)
        answers.append(line.answer(message))
        line.close()
    return answers


def sixteen_in_flight(address, messages):
    line, answers = Line(address), []
    for sent, message in enumerate(messages):
        if sent >= 16:
            answers.append(line.answer(messages[sent - 16]))
        line.send(message)
    answers += [line.answer(message) for message in messages[max(0, len(messages) - 16):]]
    line.close()
    return answers


def refused_without_a_byte(address, bytes_):
    """Whether these bytes are met by a closed connection and nothing else."""
    line = Line(address)
    line.send(bytes_)
    line.socket.shutdown(socket.SHUT_WR)
    try:
        return line.socket.recv(1) == b""
    except ConnectionError:
        return True
    finally:
        line.close()
