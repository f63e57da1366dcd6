# The list of kernels: what they take on sm_90a (tests/kernels/cuda/registers.txt), and the threads
# and the dynamic shared memory with which the tests on an emulated GPU launch them; where that
# depends on sizes, the least and the most.
#
#   cmake -DBUILD=build -P tests/list_cuda_kernels.cmake     from the root, of what is built; a minute

cmake_minimum_required(VERSION 3.25)

find_program(FILT NAMES c++filt cu++filt REQUIRED)
set(launches ${BUILD}/emulated_launches)
file(REMOVE ${launches})
file(GLOB tests ${BUILD}/kernels_cuda_*_test)
foreach(test ${tests})
  execute_process(COMMAND ${CMAKE_COMMAND} -E env EMULATED_LAUNCHES=${launches} ${test}
                  RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${test} fails: ${status}")
  endif()
endforeach()

# "kernel threads bytes", each once, with ascending numbers.
execute_process(COMMAND sort -u -k1,1 -k2,2n -k3,3n ${launches} COMMAND ${FILT} -p
                OUTPUT_VARIABLE lines)
string(REPLACE "treeformer::" "" lines "${lines}")
string(REPLACE "\n" ";" lines "${lines}")

# "threads" and "bytes", or "least-most", of a kernel's lines; "-" for a kernel without lines.
function(find_launches kernel)
  set(threads "-")
  set(bytes "-")
  foreach(line ${lines})
    string(REGEX MATCH "^(.*) ([0-9]+) ([0-9]+)$" match "${line}")
    if(NOT CMAKE_MATCH_1 STREQUAL kernel)
      continue()
    elseif(threads STREQUAL "-")
      set(threads ${CMAKE_MATCH_2})
      set(least ${CMAKE_MATCH_3})
      set(bytes ${least})
    elseif(CMAKE_MATCH_3 GREATER least)
      set(bytes ${least}-${CMAKE_MATCH_3})
    endif()
  endforeach()
  set(threads ${threads} PARENT_SCOPE)
  set(bytes ${bytes} PARENT_SCOPE)
endfunction()

# A row of the list: the kernel, then numbers to the right of their columns.
function(print_row kernel)
  string(LENGTH "${kernel}" length)
  math(EXPR padding "45 - ${length}")
  string(REPEAT " " ${padding} padding)
  set(row "${kernel}${padding}")
  foreach(cell ${ARGN})
    string(LENGTH "${cell}" length)
    math(EXPR padding "13 - ${length}")
    string(REPEAT " " ${padding} padding)
    string(APPEND row "${padding}${cell}")
  endforeach()
  message("${row}")
endfunction()

print_row("" registers "static bytes" spills stack threads "shared bytes")
file(STRINGS tests/kernels/cuda/registers.txt entries)
foreach(entry ${entries})
  if(entry MATCHES "^(.*) ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+)$")
    set(kernel "${CMAKE_MATCH_1}")
    set(numbers ${CMAKE_MATCH_2} ${CMAKE_MATCH_3} ${CMAKE_MATCH_4} ${CMAKE_MATCH_5})
    find_launches("${kernel}")
    print_row("${kernel}" ${numbers} ${threads} ${bytes})
  endif()
endforeach()
