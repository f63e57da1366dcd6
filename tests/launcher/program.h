#pragma once

// The program itself, run in a folder of its own; what it says on stdout and stderr is in the
// folder's file `output`.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/launcher/small_run.h"

namespace treeformer {

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() { folder_.Write("run.textproto", kSmallRun); }

  pid_t Start(const std::string& run, const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {TREEFORMER, "train",
                                      "--config=" + folder_.File("run.textproto"), "--threads=1",
                                      "--run_dir=" + folder_.File(run)};
    words.insert(words.end(), more.begin(), more.end());
    return Spawn(words);
  }
  pid_t Spawn(std::vector<std::string> words) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int fd : {STDOUT_FILENO, STDERR_FILENO}) {
      posix_spawn_file_actions_addopen(&actions, fd, folder_.File("output").c_str(),
                                       O_WRONLY | O_CREAT | O_APPEND, 0644);
    }
    pid_t pid = -1;
    EXPECT_EQ(posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }
  static int Status(pid_t pid) {  // 1000 + the signal that ended it, or the exit status
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  TemporaryFolder folder_;
};

}  // namespace treeformer
