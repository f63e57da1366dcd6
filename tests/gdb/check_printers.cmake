# Prints the variables of tests/gdb/views.cc in gdb and compares what it says.
#
#   cmake -DPROGRAM=build/gdb_views -P tests/gdb/check_printers.cmake     from the root

cmake_minimum_required(VERSION 3.25)

find_program(GDB gdb)
if(NOT GDB)
  message("skipped: gdb is absent")
  return()
endif()

set(variables shape view large rounded any none on_gpu buffer)
set(expected
    "[2, 3]"
    "View<float const> [2, 3] = {0.5, 1.5, 2.5, 3.5, 4.5, 5.5}"
    "View<float> [300] = {0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5...}"
    "View<BFloat16> [2] = {1, -3}"
    "AnyView<void const> of float32 [1, 3] = {3.5, 4.5, 5.5}"
    "View<float> [] null"
    "View<float> [2, 3] on the GPU"
    "runtime::Buffer of int32 [4, 1] = {0, 0, 0, 0}")
set(commands)
foreach(variable ${variables})
  list(APPEND commands -ex "echo <${variable}>" -ex "output ${variable}" -ex "echo <end>\\n")
endforeach()
execute_process(
  COMMAND ${GDB} --nx --batch -x .gdb/treeformer.py -ex "set print elements 7"
          -ex "set startup-with-shell off" -ex "break Stop" -ex run -ex up ${commands} ${PROGRAM}
  OUTPUT_VARIABLE output ERROR_VARIABLE errors TIMEOUT 60)
if(errors MATCHES "ptrace|Cannot create process|personality")
  message("skipped: gdb may not trace programs here: ${errors}")
  return()
endif()

foreach(variable words IN ZIP_LISTS variables expected)
  string(FIND "${output}" "<${variable}>${words}<end>" place)
  if(place EQUAL -1)
    message("${output}${errors}")
    message(FATAL_ERROR "gdb does not print ${variable} as: ${words}")
  endif()
endforeach()
message("gdb prints views, shapes and buffers")
