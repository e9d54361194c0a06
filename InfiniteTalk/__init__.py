"""InfiniteTalk: portrait or video and speech → talking video of any length, on diffusers' Wan 2.1 blocks."""
