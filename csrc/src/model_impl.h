// What a SequenceModel and its streams share.
#pragma once

#include "model_parts.h"

namespace slidecell {

struct SequenceModel::Impl {
  ModelParts parts;
};

}  // namespace slidecell
