"""Printers for Shape, View, In / Out / Acc, Buffer and BFloat16, for a build with the preset debug:

    gdb -x .gdb/treeformer.py --args build-debug/treeformer train --config=quick_start
    (gdb) print x                      View<float> [2, 3] = {0.5, -1, ...}
    (gdb) set print elements 20        this many values; "print x.data_[17]" is one of them

The values of a view on a GPU are not read; DumpNpy (kernels/runtime/npy.h) copies them to a file.
"""

import struct

import gdb
import gdb.printing

C_TYPES = {"kFloat32": "float", "kFloat64": "double", "kInt32": "int",
           "kBFloat16": "treeformer::BFloat16"}


def extents(shape):
    return [int(shape["extents_"]["_M_elems"][i]) for i in range(int(shape["rank_"]))]


def enumerator(value):
    return str(value).rsplit("::", 1)[-1]


class ShapePrinter:
    """[2, 3]"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        return str(extents(self.value))


class BFloat16Printer:
    """The number, not its bits."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        bits = int(self.value["bits"]) << 16
        return "%g" % struct.unpack("<f", struct.pack("<I", bits))[0]


class ViewPrinter:
    """What it is, and its values where the host can read them."""

    def __init__(self, value):
        if value.type.code == gdb.TYPE_CODE_REF:
            value = value.referenced_value()
        self.type = value.type.unqualified().strip_typedefs()
        self.data = value["data_"]
        self.shape = extents(value["shape_"])
        self.on_gpu = enumerator(value["device_"]) == "kCuda"
        self.dtype = enumerator(value["dtype_"]) if "dtype_" in self.type else None

    def to_string(self):
        name = self.type.name.replace("treeformer::", "")
        dtype = " of " + self.dtype[1:].lower() if self.dtype else ""
        place = " null" if int(self.data) == 0 else " on the GPU" if self.on_gpu else ""
        return name + dtype + " " + str(self.shape) + place

    def children(self):
        count = 1
        for extent in self.shape:
            count *= extent
        if self.on_gpu or int(self.data) == 0:
            count = 0
        elements = self.data
        if self.dtype:
            elements = elements.cast(gdb.lookup_type(C_TYPES[self.dtype]).pointer())
        return ((str(i), elements[i]) for i in range(count))  # gdb takes as many as it prints

    def display_hint(self):
        return "array"


def make_printers():
    printers = gdb.printing.RegexpCollectionPrettyPrinter("treeformer")
    printers.add_printer("Shape", "^treeformer::Shape$", ShapePrinter)
    printers.add_printer("BFloat16", "^treeformer::BFloat16$", BFloat16Printer)
    printers.add_printer("View", "^treeformer::(View|AnyView)<.*>$", ViewPrinter)
    printers.add_printer("Buffer", "^treeformer::runtime::Buffer$", ViewPrinter)
    return printers


gdb.printing.register_pretty_printer(gdb.current_objfile(), make_printers(), replace=True)
