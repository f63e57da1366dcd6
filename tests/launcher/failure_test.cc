#include "launcher/program/failure.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>

#include "kernels/base/user_error.h"
#include "launcher/program/command.h"

namespace treeformer {

namespace {

template <typename Exception>
Failure Explained(const Exception& exception) {
  return Explain(std::make_exception_ptr(exception));
}

TEST(Failure, WhatTheUserGaveIsStatusTwoWithItsSentence) {
  const Failure failure = Explained(UserError("--steps is -1; expected 0 or more"));
  EXPECT_EQ(failure.sentence, "treeformer: --steps is -1; expected 0 or more");
  EXPECT_EQ(failure.status, kBadInput);
}

TEST(Failure, AFileSystemThatRefusesIsNamed) {
  const auto denied = std::make_error_code(std::errc::permission_denied);
  const Failure failure =
      Explained(std::filesystem::filesystem_error("cannot list", "runs/a/checkpoints", denied));
  EXPECT_EQ(failure.sentence, "treeformer: runs/a/checkpoints cannot be used: Permission denied");
  EXPECT_EQ(failure.status, kBadInput);
}

TEST(Failure, OutOfMemoryIsStatusTwo) {
  const Failure failure = Explained(std::bad_alloc());
  EXPECT_NE(failure.sentence.find("out of memory"), std::string::npos);
  EXPECT_EQ(failure.status, kBadInput);
}

TEST(Failure, AThreadThatCannotBeStartedIsStatusTwo) {
  const auto none = std::make_error_code(std::errc::resource_unavailable_try_again);
  const Failure failure = Explained(std::system_error(none));
  EXPECT_NE(failure.sentence.find("a thread cannot be started"), std::string::npos);
  EXPECT_EQ(failure.status, kBadInput);
  const auto other = std::make_error_code(std::errc::invalid_argument);
  EXPECT_EQ(Explained(std::system_error(other)).status, dist::kInternalError);
}

TEST(Failure, AnyOtherExceptionIsAFaultOfTheProgram) {
  EXPECT_EQ(Explained(std::out_of_range("at")).sentence, "treeformer: a fault of the program: at");
  EXPECT_EQ(Explained(std::out_of_range("at")).status, dist::kInternalError);
  EXPECT_EQ(Explained(3).status, dist::kInternalError);
}

}  // namespace

}  // namespace treeformer
