// What this processor's maker tells of its instructions.
#pragma once

namespace slidecell {

// Whether vdpbf16ps, which multiplies two pairs a lane, takes no longer than a multiply-add. On
// Intel's processors it takes four times as long, and products in bf16 twice as long as in float32.
bool has_fast_bf16_dots();

}  // namespace slidecell
