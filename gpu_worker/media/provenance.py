"""Says inside a file that a machine made it, in the way that the IPTC recommends for generated media.

The statement is an XMP packet with the IPTC's digital source type and the job that made the file. Where it
stands: in an MP4 in the `uuid` box and in a JPEG in the APP1 segment that the XMP specification (part 3,
"Storage in files") reserves for it.
"""

import struct
from pathlib import Path
from uuid import UUID
from xml.sax.saxutils import quoteattr

TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")

_PACKET = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    Iptc4xmpExt:DigitalSourceType={source_type}
    dc:identifier={job_id}
    xmp:CreatorTool="Avatar API"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def xmp_packet(job_id: str) -> bytes:
    """The XMP packet of a file that job `job_id` made, UTF-8."""
    return _PACKET.format(source_type=quoteattr(TRAINED_ALGORITHMIC_MEDIA), job_id=quoteattr(job_id)).encode()


def comment(job_id: str) -> str:
    """The same in words, for players and tools that show a comment but read no XMP."""
    return f"Made by a machine ({TRAINED_ALGORITHMIC_MEDIA}), {job_id}"


def append_xmp_box(video: Path, packet: bytes) -> None:
    """Add the XMP box to the end of a finished MP4.

    Top level is where the specification wants it; behind everything else it moves no sample, so every
    chunk offset stays true and the header stays in front.
    """
    box = XMP_BOX.bytes + packet
    with video.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(box), b"uuid") + box)
