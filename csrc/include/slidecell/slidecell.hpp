// Includes the whole public C++ interface.
#pragma once

#include "slidecell/cpu.hpp"
#include "slidecell/error.hpp"
#include "slidecell/model.hpp"
#include "slidecell/monitor.hpp"
#include "slidecell/recurrent.hpp"
#include "slidecell/series.hpp"
#include "slidecell/stream.hpp"
#include "slidecell/training.hpp"
#include "slidecell/window_scorer.hpp"
#include "slidecell/windows.hpp"
