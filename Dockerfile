# docker build -t doubleback .                              for the CPU
# docker build -t doubleback:cuda --build-arg DEVICE=cuda . for NVIDIA GPUs: docker run --gpus all
# docker run --rm -v "$PWD:/home/user/work" doubleback train countdown
#
# The same install as anywhere else: every package by its hash (docs/install.md). CUDA's libraries come with the wheels; the
# host brings the driver. Python is one of those that the locks are made for.
FROM python:3.11-slim

# make for the install, git for the commit that a run writes down, a C compiler for the kernels that Triton builds on a GPU,
# libnuma for vLLM on the CPU.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make git gcc libc6-dev libnuma1 \
    && rm -rf /var/lib/apt/lists/*

ARG DEVICE=cpu
WORKDIR /opt/doubleback
COPY . .
RUN make install DEVICE="$DEVICE"
ENV PATH="/opt/doubleback/.venv/bin:$PATH"
# A login shell, as KubeRay's, sets a path of its own.
RUN ln -s /opt/doubleback/.venv/bin/ray /opt/doubleback/.venv/bin/doubleback /usr/local/bin/

# Rewards are code that reads what a model wrote: none of it runs as root.
RUN useradd --create-home user
# The checkout is root's: git would refuse to say its commit to somebody else.
RUN git config --system --add safe.directory /opt/doubleback
USER user
WORKDIR /home/user/work
ENTRYPOINT ["doubleback"]
CMD ["--help"]
