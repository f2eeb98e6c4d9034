"""Imports much of the standard library, as beginners' templates do.

Id: C12
Exercise: double
Verdict: accepted
"""

import asyncio, collections, ctypes, dataclasses, decimal, functools, heapq, inspect, itertools, json, logging, math
import multiprocessing, operator, os, pathlib, pickle, random, re, socket, statistics, subprocess, tempfile, typing
from fractions import Fraction

import numpy as np


def double(x, factor=2.0):
    return np.array([float(Fraction(value) * Fraction(factor)) for value in x])
