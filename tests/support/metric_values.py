"""What a metric of ours says at this moment."""


def value(metric, *labels):
    return (metric.labels(*labels) if labels else metric)._value.get()
