// Who made this processor.
#pragma once

namespace slidecell {

// False where the processor does not say.
bool made_by_intel();

}  // namespace slidecell
