#pragma once
// As json.h, for the unit tests: gtest and gmock are most of what a test's file makes the compiler read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cmake/pch/json.h"
