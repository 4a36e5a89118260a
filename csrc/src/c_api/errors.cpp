#include "c_api/errors.h"

#include <cstdio>

namespace slidecell::c_api {
namespace {

// Of fixed size: to report a failure must not fail, nor allocate on a stream's push.
constexpr std::size_t kErrorSize = 1024;
thread_local char last_error[kErrorSize] = "";

}  // namespace

int fail(slidecell_status status, const char* text) noexcept {
  std::snprintf(last_error, kErrorSize, "%s", text);
  return status;
}

int report(const Stream& stream, Status status, std::int64_t entity) noexcept {
  switch (status) {
    case Status::ok:
      return SLIDECELL_OK;
    case Status::unknown_entity:
      std::snprintf(last_error, kErrorSize, "entity: expected 0 to %lld, got %lld",
                    static_cast<long long>(stream.num_entities() - 1),
                    static_cast<long long>(entity));
      return SLIDECELL_UNKNOWN_ENTITY;
    case Status::not_a_forecaster:
      return fail(SLIDECELL_NOT_A_FORECASTER, status_text(status));
    case Status::null_pointer:
      return fail(SLIDECELL_INVALID_ARGUMENT, status_text(status));
  }
  return fail(SLIDECELL_INTERNAL, status_text(status));
}

}  // namespace slidecell::c_api

const char* slidecell_version(void) { return SLIDECELL_VERSION; }

const char* slidecell_last_error(void) { return slidecell::c_api::last_error; }
