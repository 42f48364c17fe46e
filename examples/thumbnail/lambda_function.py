"""Makes a photograph small: JPEG in, JPEG out, both as base64 in JSON."""

import base64
import io

from PIL import Image


def lambda_handler(event, context):
    picture = Image.open(io.BytesIO(base64.b64decode(event["image"])))
    before = picture.size
    picture.thumbnail((event.get("width", 160), event.get("height", 160)))
    small = io.BytesIO()
    picture.save(small, "JPEG", quality=80)
    print(f"{before[0]} x {before[1]} became {picture.width} x {picture.height}, {small.tell()} bytes")
    return {
        "thumbnail": base64.b64encode(small.getvalue()).decode(),
        "width": picture.width,
        "height": picture.height,
        "original": before,
    }
