"""Images: references, decoding, small grey copies, sizes and boxes, before any model sees them."""
