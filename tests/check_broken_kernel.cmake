# One of tests/kernels/cuda/breakages.cmake, in two steps, from the root:
#
#   cmake -DNAME=swizzle -DCOPY=build/broken/swizzle -P tests/check_broken_kernel.cmake
#       breaks a copy of the kernel's source, COPY/<source>; a change that no longer fits is fatal.
#   cmake -DNAME=swizzle -DPROGRAM=build/broken_swizzle -P tests/check_broken_kernel.cmake
#       runs the test that was compiled with it: says what caught the breakage, or that nothing did.

cmake_minimum_required(VERSION 3.25)

function(break_kernel source text broken)
  file(READ ${source} code)
  string(FIND "${code}" "${text}" first)
  string(FIND "${code}" "${text}" last REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    message(FATAL_ERROR "${NAME} breaks what is not once in ${source}:\n${text}")
  endif()
  string(REPLACE "${text}" "${broken}" code "${code}")
  file(WRITE ${COPY}/${source} "${code}")
endfunction()

function(run_test source text broken failure)
  execute_process(COMMAND ${PROGRAM} --gtest_fail_fast TIMEOUT 60 RESULT_VARIABLE status
                  OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(failure STREQUAL "")
    if(NOT status EQUAL 0)
      message("${output}")
      message(FATAL_ERROR "nothing is broken and ${PROGRAM} fails: ${status}")
    endif()
    message("${source} as it is: passes")
    return()
  endif()
  # The first failure, as gtest or glog reports it.
  string(REGEX MATCH "([^\n]*: Failure\n|F[0-9]+ [0-9:.]+ ).*" report "${output}")
  string(REGEX REPLACE "\n([^\n]*: Failure\n|\\[|\\*\\*\\*).*" "" report "${report}")
  string(REPLACE "\n" "\n  - " text "${text}")
  string(REPLACE "\n" "\n  + " broken "${broken}")
  message("${source}\n  - ${text}\n  + ${broken}\n")
  if(status EQUAL 0)
    message(FATAL_ERROR "not caught: ${PROGRAM} passes")
  elseif(NOT report MATCHES "${failure}")
    message("${output}")
    message(FATAL_ERROR "${PROGRAM} fails (${status}), but not first with: ${failure}")
  endif()
  message("caught:\n${report}")
endfunction()

function(breakage name test source text broken failure)
  if(NOT name STREQUAL NAME)
    return()
  elseif(DEFINED COPY)
    break_kernel(${source} "${text}" "${broken}")
  else()
    run_test(${source} "${text}" "${broken}" "${failure}")
  endif()
endfunction()
include(${CMAKE_CURRENT_LIST_DIR}/kernels/cuda/breakages.cmake)
