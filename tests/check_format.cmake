# clang-format over every source file.  Run as `cmake -P tests/check_format.cmake`.
# The format is that of version 14 (Debian 12); another version draws other lines.

cmake_minimum_required(VERSION 3.25)

find_program(CLANG_FORMAT NAMES clang-format-14 clang-format)
if(NOT CLANG_FORMAT)
  message(FATAL_ERROR "clang-format is absent; tests/run_all.sh installs it")
endif()
execute_process(COMMAND ${CLANG_FORMAT} --version OUTPUT_VARIABLE version)
if(NOT version MATCHES "version 14\\.")
  message(FATAL_ERROR "expected clang-format 14, which tests/run_all.sh installs; found ${version}")
endif()

foreach(folder core dist kernels launcher datasets tests cluster)
  file(GLOB_RECURSE found ${folder}/*.h ${folder}/*.cc ${folder}/*.cu ${folder}/*.cuh)
  list(APPEND sources ${found})
endforeach()
execute_process(COMMAND ${CLANG_FORMAT} --dry-run -Werror ${sources} RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "not formatted: run clang-format -i on the files above")
endif()
