// What a model file says of its head.
#pragma once

#include <memory>

#include "model/json.h"
#include "model/model_parts.h"
#include "model/tensors.h"
#include "weights/head.h"

namespace slidecell {

// json: of 'distribution'. Whether the head predicts log variances beside the means.
bool read_distribution(const Json& json, const ModelParts& parts);

// json: of 'head', null for one product. parts: all that says what the head reads and predicts.
std::unique_ptr<Head> read_head(const ModelParts& parts, const Json& json, Tensors& tensors);

}  // namespace slidecell
