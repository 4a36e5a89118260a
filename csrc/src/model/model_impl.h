// What a SequenceModel and its streams share.
#pragma once

#include "model/model_parts.h"

namespace slidecell {

// Hidden, though a member of an exported class: no part of the library's interface.
struct [[gnu::visibility("hidden")]] SequenceModel::Impl {
  ModelParts parts;
};

}  // namespace slidecell
