"""Vae in strips: diffusers' AutoencoderKL over pictures that are too large for it at once, to the same numbers.

On the device: some strips, and the keys and values of attention at the latent's size. In host memory: one map of the
picture's size with the channels of the widest layer there (128 for SD: 512 bytes a pixel in float32), and one of a
quarter. Costs about twice the arithmetic: what stands between two norms is computed once to be measured and once to
be used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.models.strips import DoubledMap, Map, Rows, StoredMap, Strips, convolved, halved


def decode_in_strips(module: Any, latent: Tensor, largest: int) -> Tensor:
    """[n, 4, h, w] latent as the module's `decode` takes it -> [n, 3, 8h, 8w] float32 in host memory.

    largest: numbers that a strip of a layer may hold, about.
    """
    decoder = module.decoder
    strips = _strips(decoder, largest)
    if module.post_quant_conv is not None:
        latent = module.post_quant_conv(latent.to(module.post_quant_conv.weight))
    current: Map = _middle(_plain(strips.store(latent.cpu()), [decoder.conv_in], strips), decoder.mid_block, strips)
    for block in decoder.up_blocks:
        for resnet in block.resnets:
            current = _resnet(current, resnet, strips)
        for upsampler in block.upsamplers or ():
            current = DoubledMap(current, upsampler.conv, strips)
    return _end(current, decoder, [decoder.conv_out], strips)


def encode_in_strips(module: Any, pixels: Tensor, largest: int) -> Tensor:
    """[n, 3, H, W] picture in -1..1 -> [n, 8, H/8, W/8] float32 means and log variances in host memory.

    largest: as in `decode_in_strips`.
    """
    encoder = module.encoder
    strips = _strips(encoder, largest)
    current = _plain(strips.store(pixels.cpu()), [encoder.conv_in], strips)
    for block in encoder.down_blocks:
        for resnet in block.resnets:
            current = _resnet(current, resnet, strips)
        for downsampler in block.downsamplers or ():
            current = _halved(current, downsampler.conv, strips)
    current = _middle(current, encoder.mid_block, strips)
    last = [encoder.conv_out, *([module.quant_conv] if module.quant_conv is not None else [])]
    return _end(current, encoder, last, strips)


def _strips(network: Any, largest: int) -> Strips:
    first: nn.Conv2d = network.conv_in
    return Strips(largest, first.weight, wraps=first.padding_mode == "circular")


def _plain(source: Map, layers: list[nn.Conv2d], strips: Strips) -> StoredMap:
    """Convolutions one after another."""

    def piece(first: int, last: int) -> Tensor:
        rows = source.rows(first - len(layers), last + len(layers))
        for layer in layers:
            rows = convolved(layer, rows)
        return rows.cut(first, last).values

    return strips.made((layers[-1].out_channels, source.height, source.width), source, piece)


def _halved(source: Map, layer: nn.Conv2d, strips: Strips) -> StoredMap:
    shape = (layer.out_channels, source.height // 2, source.width // 2)
    return strips.made(shape, source, lambda first, last: halved(layer, source, first, last))


def _resnet(source: Map, block: Any, strips: Strips) -> StoredMap:
    """diffusers' ResnetBlock2D without a time embedding, in its source's place where the channels are as many."""
    shape = (block.conv2.out_channels, source.height, source.width)
    before = source.moments.norm(block.norm1)

    def half(rows: Rows) -> Rows:
        return convolved(block.conv1, rows.changed(functional.silu(before(rows.values))))

    between = strips.measured(
        shape, source, lambda first, last: half(source.rows(first - 1, last + 1)).cut(first, last).values
    ).norm(block.norm2)

    def piece(first: int, last: int) -> Tensor:
        rows = source.rows(first - 2, last + 2)
        inner = half(rows)
        inner = convolved(block.conv2, inner.changed(functional.silu(between(inner.values))))
        own = rows.cut(first, last)
        if block.conv_shortcut is not None:
            own = convolved(block.conv_shortcut, own)
        return (own.values + inner.cut(first, last).values) / block.output_scale_factor

    return strips.made(shape, source, piece, over=True)


def _middle(source: StoredMap, block: Any, strips: Strips) -> StoredMap:
    current = _resnet(source, block.resnets[0], strips)
    for attention, resnet in zip(block.attentions, block.resnets[1:], strict=True):
        if attention is not None:
            current = _attended(current, attention, strips)
        current = _resnet(current, resnet, strips)
    return current


def _attended(source: Map, layer: Any, strips: Strips) -> StoredMap:
    """diffusers' Attention of every place to every place: keys and values whole, queries some at a time."""
    shape = (source.channels, source.height, source.width)
    norm = source.moments.norm(layer.group_norm)

    def tokens(rows: Rows) -> Tensor:
        return norm(rows.values).flatten(2).transpose(1, 2)

    def heads(values: Tensor) -> Tensor:
        return values.unflatten(2, (layer.heads, -1)).transpose(1, 2)

    parts = [tokens(source.rows(first, last)) for first, last in strips.of(shape, source)]
    keys = heads(torch.cat([layer.to_k(part) for part in parts], dim=1))
    values = heads(torch.cat([layer.to_v(part) for part in parts], dim=1))
    del parts
    # Where the kernel is the plain one, it makes a number for each pair of a query and a key.
    at_once = max(1, strips.largest // (source.height * source.width))

    def piece(first: int, last: int) -> Tensor:
        rows = source.rows(first, last)
        queries = heads(layer.to_q(tokens(rows))).split(at_once, dim=2)
        found = torch.cat([functional.scaled_dot_product_attention(one, keys, values) for one in queries], dim=2)
        out = layer.to_out[0](found.transpose(1, 2).flatten(2)).transpose(1, 2).reshape(rows.values.shape)
        return (out + rows.values if layer.residual_connection else out) / layer.rescale_output_factor

    return strips.made(shape, source, piece, over=True)


def _end(source: Map, network: Any, layers: list[nn.Conv2d], strips: Strips) -> Tensor:
    """The last norm and what follows it."""
    norm = source.moments.norm(network.conv_norm_out)

    def piece(first: int, last: int) -> Tensor:
        rows = source.rows(first - 1, last + 1)
        rows = rows.changed(functional.silu(norm(rows.values)))
        for layer in layers:
            rows = convolved(layer, rows)
        return rows.cut(first, last).values.float()

    shape = (layers[-1].out_channels, source.height, source.width)
    return strips.made(shape, source, piece).values
