"""Compiled loops for the CPU; needs numba: z-buffer rasteriser, shader and ray march.

``raster``, ``renderer`` and ``lighting`` hold the same in torch.

A pixel belongs to the nearest front-facing triangle its ray passes through. Edge functions are made of
camera-space corners (Olano and Greer, 1997), so nothing has to be clipped.
"""

from __future__ import annotations

import numpy as np
from numba import njit

NEAR_M = 1e-3  # as in ``raster``
NEAREST_INVERSE = 1 / NEAR_M


@njit(cache=True, nogil=True)
def transform_vertices(vertices, rotation, translation, camera):  # type: ignore[no-untyped-def]
    """Camera-space points [V, 3] and pixels [V, 2] (NaN behind the camera), float64."""
    points = np.empty((len(vertices), 3))
    pixels = np.empty((len(vertices), 2))
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0] - translation[0], vertices[i, 1] - translation[1], vertices[i, 2] - translation[2]
        for k in range(3):  # the transposed rotation: world to camera
            points[i, k] = rotation[0, k] * x + rotation[1, k] * y + rotation[2, k] * z
        depth = points[i, 2]
        if depth > NEAR_M:
            pixels[i, 0] = camera[0] * points[i, 0] / depth + camera[2]
            pixels[i, 1] = camera[1] * points[i, 1] / depth + camera[3]
        else:
            pixels[i, 0] = np.nan
            pixels[i, 1] = np.nan
    return points, pixels


@njit(cache=True, nogil=True, inline="always")
def _beyond(points, a, b, c, axis, low, high):  # type: ignore[no-untyped-def]
    """Whether a triangle lies wholly outside the view on one side of an axis."""
    pa, pb, pc = points[a, axis], points[b, axis], points[c, axis]
    za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
    below = pa < low * za and pb < low * zb and pc < low * zc
    return below or (pa > high * za and pb > high * zb and pc > high * zc)


@njit(cache=True, nogil=True)
def rasterize_rows(points, pixels, triangles, camera, first_row, end_row, inverse_depth, index):  # type: ignore[no-untyped-def]
    """Fills rows ``first_row``..``end_row`` of ``inverse_depth`` float32 and ``index`` int32 [H, W]."""
    width = inverse_depth.shape[1]
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    left, right = (-0.5 - cx) / fx, (width - 0.5 - cx) / fx
    top, bottom = (first_row - 0.5 - cy) / fy, (end_row - 0.5 - cy) / fy
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if points[a, 2] < NEAR_M and points[b, 2] < NEAR_M and points[c, 2] < NEAR_M:
            continue
        low_u = min(pixels[a, 0], min(pixels[b, 0], pixels[c, 0]))
        high_u = max(pixels[a, 0], max(pixels[b, 0], pixels[c, 0]))
        low_v = min(pixels[a, 1], min(pixels[b, 1], pixels[c, 1]))
        high_v = max(pixels[a, 1], max(pixels[b, 1], pixels[c, 1]))
        if points[a, 2] < NEAR_M or points[b, 2] < NEAR_M or points[c, 2] < NEAR_M:  # reaches behind the camera
            if _beyond(points, a, b, c, 0, left, right) or _beyond(points, a, b, c, 1, top, bottom):
                continue
            low_u, high_u, low_v, high_v = 0.0, width - 1.0, first_row + 0.0, end_row - 1.0
        if high_u < 0 or low_u > width - 1 or high_v < first_row or low_v > end_row - 1:
            continue
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
        px, py, pz = points[c, 0], points[c, 1], points[c, 2]
        ux, uy, uz = bx - ax, by - ay, bz - az
        wx, wy, wz = px - ax, py - ay, pz - az
        nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        offset = nx * ax + ny * ay + nz * az
        if offset >= 0:  # seen from behind
            continue
        # edge functions e . (ray of the pixel), all <= 0 inside
        ex0, ey0, ez0 = by * pz - bz * py, bz * px - bx * pz, bx * py - by * px
        ex1, ey1, ez1 = py * az - pz * ay, pz * ax - px * az, px * ay - py * ax
        ex2, ey2, ez2 = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        first_u, last_u = max(0, int(np.ceil(low_u - 1e-6))), min(width - 1, int(np.floor(high_u + 1e-6)))
        first_v, last_v = max(first_row, int(np.ceil(low_v - 1e-6))), min(end_row - 1, int(np.floor(high_v + 1e-6)))
        du0, du1, du2, du_near = ex0 / fx, ex1 / fx, ex2 / fx, nx / (fx * offset)
        x0 = (first_u - cx) / fx
        for v in range(first_v, last_v + 1):
            y = (v - cy) / fy
            e0 = ex0 * x0 + ey0 * y + ez0
            e1 = ex1 * x0 + ey1 * y + ez1
            e2 = ex2 * x0 + ey2 * y + ez2
            near = (nx * x0 + ny * y + nz) / offset
            for u in range(first_u, last_u + 1):
                if e0 <= 0 and e1 <= 0 and e2 <= 0 and inverse_depth[v, u] < near < NEAREST_INVERSE:
                    inverse_depth[v, u] = near
                    index[v, u] = t
                e0 += du0
                e1 += du1
                e2 += du2
                near += du_near


@njit(cache=True, nogil=True, fastmath=True)
def shade_rows(  # type: ignore[no-untyped-def]
    points,
    triangles,
    camera,
    index,
    uv,
    light,
    material,
    texels_per_m,
    pyramid,
    level_start,
    level_size,
    first_row,
    end_row,
    radiance,
):
    """Fills rows of ``radiance`` float32 [H, W, 3]: filtered texture times interpolated light.

    On a triangle 1 / z and every attribute over z are linear in the pixel: their ``planes`` (rows: 1 / z,
    u, v, red, green and blue light) are set up once per run of pixels on the same triangle.
    """
    highest = len(level_size) - 1.001
    planes = np.empty((6, 3))
    for v in range(first_row, end_row):
        y = (v - camera[3]) / camera[1]
        last, density, steepness = -1, 0.0, 0.0
        for u in range(index.shape[1]):
            t = index[v, u]
            if t < 0:
                continue
            x = (u - camera[2]) / camera[0]
            if t != last:
                last = t
                steepness = _attribute_planes(points, triangles, t, uv, light, planes)
                density = (texels_per_m[t] / camera[0]) ** 2
            depth = 1 / (planes[0, 0] * x + planes[0, 1] * y + planes[0, 2])
            s = (planes[1, 0] * x + planes[1, 1] * y + planes[1, 2]) * depth
            r = 1 - (planes[2, 0] * x + planes[2, 1] * y + planes[2, 2]) * depth
            cosine2 = steepness / (depth * depth * (x * x + y * y + 1))
            # half the logarithm of the squared footprint, stretched by 1 / sqrt(cosine)
            level = 0.5 * np.log2(max(density * depth * depth / np.sqrt(max(cosine2, 0.0016)), 1e-12))
            level = min(max(level, 0.0), highest)
            lower = int(level)
            mix = level - lower
            size = level_size[lower]
            base = level_start[lower] + material[t] * size * size
            red, green, blue = _texel(s, r, pyramid, base, size)
            if mix > 0:
                size = level_size[lower + 1]
                base = level_start[lower + 1] + material[t] * size * size
                red1, green1, blue1 = _texel(s, r, pyramid, base, size)
                red, green, blue = red + mix * (red1 - red), green + mix * (green1 - green), blue + mix * (blue1 - blue)
            radiance[v, u, 0] = red * (planes[3, 0] * x + planes[3, 1] * y + planes[3, 2]) * depth
            radiance[v, u, 1] = green * (planes[4, 0] * x + planes[4, 1] * y + planes[4, 2]) * depth
            radiance[v, u, 2] = blue * (planes[5, 0] * x + planes[5, 1] * y + planes[5, 2]) * depth


@njit(cache=True, nogil=True)
def _attribute_planes(points, triangles, t, uv, light, planes):  # type: ignore[no-untyped-def]
    """Sets ``planes`` [6, 3] of a triangle; returns (distance of its plane from the camera)^2."""
    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
    bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
    px, py, pz = points[c, 0], points[c, 1], points[c, 2]
    ux, uy, uz, wx, wy, wz = bx - ax, by - ay, bz - az, px - ax, py - ay, pz - az
    nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
    offset = nx * ax + ny * ay + nz * az
    edges = (
        (by * pz - bz * py, bz * px - bx * pz, bx * py - by * px),
        (py * az - pz * ay, pz * ax - px * az, px * ay - py * ax),
        (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx),
    )
    planes[0, 0], planes[0, 1], planes[0, 2] = nx / offset, ny / offset, nz / offset
    for k in range(3):
        ea, eb, ec = edges[0][k] / offset, edges[1][k] / offset, edges[2][k] / offset
        for channel in range(2):
            planes[1 + channel, k] = ea * uv[a, channel] + eb * uv[b, channel] + ec * uv[c, channel]
        for channel in range(3):
            planes[3 + channel, k] = ea * light[a, channel] + eb * light[b, channel] + ec * light[c, channel]
    return offset * offset / (nx * nx + ny * ny + nz * nz)


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _texel(s, r, pyramid, base, size):  # type: ignore[no-untyped-def]
    """Albedo at (s, r) of one level, bilinear; sizes are powers of two, texels square roots times 255."""
    column, row = s * size - 0.5, r * size - 0.5
    i, j = int(np.floor(column)), int(np.floor(row))
    fi, fj = np.float32(column - i), np.float32(row - j)
    i0, j0, i1, j1 = i & (size - 1), j & (size - 1), (i + 1) & (size - 1), (j + 1) & (size - 1)
    p00, p01 = base + j0 * size + i0, base + j0 * size + i1
    p10, p11 = base + j1 * size + i0, base + j1 * size + i1
    one, scale = np.float32(1), np.float32(1 / 255)
    w00, w01 = (one - fi) * (one - fj) * scale, fi * (one - fj) * scale
    w10, w11 = (one - fi) * fj * scale, fi * fj * scale
    red = w00 * pyramid[p00, 0] + w01 * pyramid[p01, 0] + w10 * pyramid[p10, 0] + w11 * pyramid[p11, 0]
    green = w00 * pyramid[p00, 1] + w01 * pyramid[p01, 1] + w10 * pyramid[p10, 1] + w11 * pyramid[p11, 1]
    blue = w00 * pyramid[p00, 2] + w01 * pyramid[p01, 2] + w10 * pyramid[p10, 2] + w11 * pyramid[p11, 2]
    return red * red, green * green, blue * blue


@njit(cache=True, nogil=True)
def march_rays(occupied, shape, start, step, count, escape_steps, hit):  # type: ignore[no-untyped-def]
    """First occupied voxel of each ray (flat index, or -1) into ``hit``; positions in voxels, float32 [R, 3]."""
    for n in range(len(start)):
        hit[n] = -1
        x, y, z = start[n, 0], start[n, 1], start[n, 2]
        escaping = True
        k = 0
        while k <= count[n]:
            i, j, m = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
            if i < 0 or j < 0 or m < 0 or i >= shape[0] or j >= shape[1] or m >= shape[2]:
                break
            cell = (i * shape[1] + j) * shape[2] + m
            if not occupied[cell] or k > escape_steps:
                escaping = False
            if occupied[cell] and not escaping:
                hit[n] = cell
                break
            x += step[n, 0]
            y += step[n, 1]
            z += step[n, 2]
            k += 1


@njit(cache=True, nogil=True)
def smear_rows(image, inverse_depth, camera, motion, share, count, first_row, end_row, result):  # type: ignore[no-untyped-def]
    """``sensor.smeared`` along ``sequence.image_motion`` times ``share``, in one pass; float32 [H, W, 3]."""
    height, width = image.shape[0], image.shape[1]
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    for v in range(first_row, end_row):
        y = (v - cy) / fy
        for u in range(width):
            x, near = (u - cx) / fx, inverse_depth[v, u]
            mx = motion[0, 0] * x + motion[0, 1] * y + motion[0, 2] + motion[0, 3] * near
            my = motion[1, 0] * x + motion[1, 1] * y + motion[1, 2] + motion[1, 3] * near
            mz = motion[2, 0] * x + motion[2, 1] * y + motion[2, 2] + motion[2, 3] * near
            du, dv = (fx * mx / mz + cx - u) * share, (fy * my / mz + cy - v) * share
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for k in range(count):
                at = (k + 0.5) / count - 0.5
                i = min(max(int(np.floor(u + at * du + 0.5)), 0), width - 1)
                j = min(max(int(np.floor(v + at * dv + 0.5)), 0), height - 1)
                red += image[j, i, 0]
                green += image[j, i, 1]
                blue += image[j, i, 2]
            result[v, u, 0] = red / count
            result[v, u, 1] = green / count
            result[v, u, 2] = blue / count


@njit(cache=True, nogil=True)
def cosine_rows(index, normals, camera, result):  # type: ignore[no-untyped-def]
    """Cosine between the camera-frame normal of each pixel's triangle and its ray; NaN without triangle."""
    for v in range(index.shape[0]):
        y = (v - camera[3]) / camera[1]
        for u in range(index.shape[1]):
            x, t = (u - camera[2]) / camera[0], index[v, u]
            if t < 0:
                result[v, u] = np.nan
            else:
                result[v, u] = abs(normals[t, 0] * x + normals[t, 1] * y + normals[t, 2]) / np.sqrt(x * x + y * y + 1)
